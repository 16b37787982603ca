# CIFAR-100 as the Spike-driven Transformer is trained on it: batches of 64, flips, and timm's RandAugment with all its
# operations; no shifts and no random erasing.
_base_ = 'cifar100.py'
_mean = _base_.data_preprocessor.mean
train_dataloader = dict(
    batch_size=64, dataset=dict(pipeline=[dict(type='BatchFlip', prob=0.5), dict(type='TimmRandAugment', fill=_mean)])
)
