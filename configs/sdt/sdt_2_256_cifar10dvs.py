_base_ = [
    '../_base_/models/sdt_2_256_dvs.py',
    '../_base_/datasets/cifar10_dvs_64.py',
    '../_base_/schedules/sdt_dvs_200e.py',
    '../_base_/default_runtime.py',
]
