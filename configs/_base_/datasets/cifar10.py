# CIFAR-10. The root may be set by the environment variable CIFAR_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/digits.py']
data_root = '{{$CIFAR_ROOT:data/cifar}}'
num_classes = 10
_mean = [125.31, 122.95, 113.87]
data_preprocessor = dict(type='ImgDataPreprocessor', mean=_mean, std=[62.99, 62.09, 66.7])
_train_pipeline = [
    dict(type='BatchCrop', padding=4),
    dict(type='BatchFlip', prob=0.5),
    dict(type='BatchAutoAugment', fill=_mean),
    dict(type='BatchCutout', size=16, fill=_mean),
]
train_dataloader = dict(
    batch_size=128, num_workers=4, persistent_workers=True, dataset=dict(type='CIFAR', pipeline=_train_pipeline)
)
val_dataloader = dict(batch_size=256, num_workers=2, persistent_workers=True, dataset=dict(type='CIFAR', train=False))
test_dataloader = val_dataloader
