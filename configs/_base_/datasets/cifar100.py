# CIFAR-100. The root may be set by the environment variable CIFAR_ROOT or --cfg-options data_root=PATH.
_base_ = 'cifar10.py'
num_classes = 100
_mean = [129.3, 124.07, 112.43]
data_preprocessor = dict(mean=_mean, std=[68.17, 65.39, 70.42])
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='BatchCrop', padding=4),
            dict(type='BatchFlip', prob=0.5),
            dict(type='BatchAutoAugment', fill=_mean),
            dict(type='BatchCutout', size=16, fill=_mean),
        ]
    )
)
