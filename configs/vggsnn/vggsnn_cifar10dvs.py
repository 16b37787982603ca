_base_ = [
    '../_base_/models/vggsnn_dvs.py',
    '../_base_/datasets/cifar10_dvs.py',
    '../_base_/schedules/vggsnn_dvs_150e.py',
    '../_base_/default_runtime.py',
]
