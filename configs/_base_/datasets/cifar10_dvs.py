# CIFAR10-DVS in 10 frames of 48x48, with the augmentation of TET (that of NDA: operations=["roll", "rotate", "shear"]).
# The root may be set by the environment variable CIFAR10DVS_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/event_digits.py']
data_root = '{{$CIFAR10DVS_ROOT:data}}'
num_classes = 10
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(type='CIFAR10DVS', T=10, size=48, pipeline=[dict(type='BatchEventAugment', operations=['roll'])]),
)
val_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='CIFAR10DVS', T=10, size=48, train=False)
)
test_dataloader = val_dataloader
