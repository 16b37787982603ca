# A recipe of this project; there is no published one for this form of the network.
_base_ = [
    '../_base_/models/sequence_spikformer.py',
    '../_base_/datasets/sequential_mnist.py',
    '../_base_/schedules/sequences_adamw_50e.py',
    '../_base_/default_runtime.py',
]
