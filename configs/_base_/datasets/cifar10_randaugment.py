# CIFAR-10 with RandAugment in place of AutoAugment, and Cutout on a quarter of the images.
_base_ = 'cifar10.py'
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='BatchCrop', padding=4),
    dict(type='BatchFlip', prob=0.5),
    dict(type='BatchRandAugment', num_ops=1, magnitude=9, fill={{_base_.mean}}),
    dict(type='BatchCutout', size=16, prob=0.25, fill={{_base_.mean}}),
]))
