# ImageNet-1k at 224. The root may be set by the environment variable IMAGENET_ROOT or --cfg-options data_root=PATH.
_base_ = 'classification.py'
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
mean = [123.675, 116.28, 103.53]
data_preprocessor = dict(type='ImgDataPreprocessor', mean=mean, std=[58.395, 57.12, 57.375])
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        pipeline=[
            dict(type='torchvision/RandomResizedCrop', size=224, interpolation=3),
            dict(type='torchvision/RandomHorizontalFlip'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        train=False,
        pipeline=[
            dict(type='torchvision/Resize', size=256, interpolation=3),
            dict(type='torchvision/CenterCrop', size=224),
        ],
    ),
)
test_dataloader = val_dataloader

# What --demo swaps in: the digits that scikit-learn brings along, and a short schedule. The network stays as it is.
demo_evaluation = dict(
    batch_size=60,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, type='Digits', size=32, train=False),
)
demo = dict(
    model=dict(head=dict(num_classes=10)),
    train_dataloader=dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(_delete_=True, type='Digits', size=32, pipeline=[dict(type='BatchCrop', padding=4)]),
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
