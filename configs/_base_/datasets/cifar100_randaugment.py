# CIFAR-100 with the augmentation that is usual for transformers: one operation of RandAugment, random erasing.
_base_ = 'cifar100.py'
_mean = _base_.data_preprocessor.mean
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='BatchCrop', padding=4),
            dict(type='BatchFlip', prob=0.5),
            dict(type='BatchRandAugment', num_ops=1, magnitude=9, magnitude_std=0.4, prob=0.5, fill=_mean),
            dict(type='BatchErasing', prob=0.25, fill=_mean),
        ]
    )
)
