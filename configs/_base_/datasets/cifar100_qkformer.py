# CIFAR-100 as QKFormer is trained on it: batches of 64, flips, timm's RandAugment with all its operations, and random
# erasing; no shifts.
_base_ = 'cifar100_sdt.py'
_mean = _base_.data_preprocessor.mean
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='BatchFlip', prob=0.5),
            dict(type='TimmRandAugment', fill=_mean),
            dict(type='BatchErasing', prob=0.25, fill=_mean),
        ]
    )
)
