# CIFAR-10. The root may be set by the environment variable CIFAR_ROOT or --cfg-options data_root=PATH.
_base_ = 'classification.py'
data_root = '{{$CIFAR_ROOT:data/cifar}}'
mean = [125.31, 122.95, 113.87]
data_preprocessor = dict(type='ImgDataPreprocessor', mean=mean, std=[62.99, 62.09, 66.7])
train_pipeline = [
    dict(type='BatchCrop', padding=4),
    dict(type='BatchFlip', prob=0.5),
    dict(type='BatchAutoAugment', fill=mean),
    dict(type='BatchCutout', size=16, fill=mean),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(type='CIFAR', num_classes=10, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type='CIFAR', num_classes=10, data_root=data_root, train=False),
)
test_dataloader = val_dataloader

# What --demo swaps in: the digits that scikit-learn brings along, and a short schedule. The network stays as it is.
demo_evaluation = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, type='Digits', size=8, train=False),
)
demo = dict(
    train_dataloader=dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(_delete_=True, type='Digits', size=8, pipeline=[dict(type='BatchCrop', padding=1)]),
    ),
    val_dataloader=demo_evaluation,
    test_dataloader=demo_evaluation,
    train_cfg=dict(max_iters=120, val_interval=60),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20, end=120),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
