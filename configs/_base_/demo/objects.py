# What --demo swaps in for COCO: drawn street scenes with persons and cars, and a short schedule. The network stays but
# for the number of its classes.
_data = dict(type='MiniatureCOCO', data_root='data/demo/objects', _delete_=True)
_evaluation = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(**_data, split='val', pipeline=[dict(type='LoadDetection', masks=True), dict(type='PackDetection')]),
)
demo = dict(
    data_root=_data['data_root'],
    num_classes=2,
    train_dataloader=dict(
        batch_size=8,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            **_data,
            split='train',
            pipeline=[
                dict(type='LoadDetection', masks=True),
                dict(type='torchvision/RandomHorizontalFlip'),
                dict(type='torchvision/RandomPhotometricDistort'),
                dict(type='PackDetection'),
            ],
        ),
    ),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
    train_cfg=dict(max_iters=300, val_interval=100),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=20),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=100)),
)
