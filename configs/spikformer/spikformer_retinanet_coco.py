_base_ = [
    '../_base_/models/spikformer_8_384_retinanet.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/default_runtime.py',
]
