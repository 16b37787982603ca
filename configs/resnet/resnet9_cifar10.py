# A recipe of this project, after those for networks without spikes of D. Page and K. Jordan. The first 14 of 16 passes
# train with one time step, which costs half as much as two.
_base_ = [
    '../_base_/models/resnet9_cifar.py',
    '../_base_/datasets/cifar10_folder_fast.py',
    '../_base_/schedules/cifar_onecycle_16e.py',
    '../_base_/default_runtime.py',
]
custom_hooks = [dict(type='WhitenStem'), dict(type='GrowTimeSteps', schedule=[(0, 1), (2730, 2)])]
