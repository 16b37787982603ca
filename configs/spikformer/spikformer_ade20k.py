_base_ = [
    '../_base_/models/spikformer_8_384_fpn.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/default_runtime.py',
]
