_base_ = [
    '../_base_/models/spikformer_2_128_cifar.py',
    '../_base_/datasets/cifar10_folder.py',
    '../_base_/schedules/cifar_adamw_10e.py',
    '../_base_/default_runtime.py',
]
