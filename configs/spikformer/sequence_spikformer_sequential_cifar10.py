# A recipe of this project; there is no published one for this form of the network.
_base_ = [
    '../_base_/models/sequence_spikformer.py',
    '../_base_/datasets/sequential_cifar10.py',
    '../_base_/schedules/sequences_adamw_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(in_features=96, T=32))
