_base_ = [
    '../_base_/models/qkformer_4_384_cifar.py',
    '../_base_/datasets/cifar100_qkformer.py',
    '../_base_/schedules/qkformer_cifar_400e.py',
    '../_base_/default_runtime.py',
]
