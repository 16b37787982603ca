# CIFAR-100 as the Spike-driven Transformer is trained on it: batches of 64, no random erasing.
_base_ = 'cifar100.py'
_mean = _base_.data_preprocessor.mean
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        pipeline=[
            dict(type='BatchCrop', padding=4),
            dict(type='BatchFlip', prob=0.5),
            dict(type='BatchRandAugment', num_ops=1, magnitude=9, magnitude_std=0.4, prob=0.5, fill=_mean),
        ]
    ),
)
