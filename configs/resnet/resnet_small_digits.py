_base_ = [
    '../_base_/models/resnet_small.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits_sgd_40e.py',
    '../_base_/default_runtime.py',
]
