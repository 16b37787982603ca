_base_ = [
    '../_base_/models/spikformer_4_384_cifar.py',
    '../_base_/datasets/cifar100_randaugment.py',
    '../_base_/schedules/spikformer_cifar_300e.py',
    '../_base_/default_runtime.py',
]
