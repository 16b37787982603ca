_base_ = [
    '../_base_/models/spikformer_2_256_dvs.py',
    '../_base_/datasets/cifar10_dvs_128.py',
    '../_base_/schedules/spikformer_dvs_96e.py',
    '../_base_/default_runtime.py',
]
