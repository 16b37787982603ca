_base_ = [
    '../_base_/models/qkformer_10_384.py',
    '../_base_/datasets/imagenet_randaugment.py',
    '../_base_/schedules/imagenet_adamw_200e.py',
    '../_base_/default_runtime.py',
]
