_base_ = [
    '../_base_/models/sdt_2_512_cifar.py',
    '../_base_/datasets/cifar100_sdt.py',
    '../_base_/schedules/sdt_cifar_300e.py',
    '../_base_/default_runtime.py',
]
