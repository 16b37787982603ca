_base_ = [
    '../_base_/models/meta_spikeformer_15m.py',
    '../_base_/datasets/imagenet_randaugment.py',
    '../_base_/schedules/imagenet_adamw_200e.py',
    '../_base_/default_runtime.py',
]
