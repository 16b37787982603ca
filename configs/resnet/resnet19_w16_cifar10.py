_base_ = [
    '../_base_/models/resnet19_w16_cifar.py',
    '../_base_/datasets/cifar10_folder.py',
    '../_base_/schedules/cifar_sgd_10e.py',
    '../_base_/default_runtime.py',
]
