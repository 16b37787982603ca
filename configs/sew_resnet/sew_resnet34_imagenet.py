_base_ = [
    '../_base_/models/sew_resnet34.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_sgd_320e.py',
    '../_base_/default_runtime.py',
]
