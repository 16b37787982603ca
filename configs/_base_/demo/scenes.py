# What --demo swaps in for ADE20K: scenes that the package draws, small crops, a short schedule. The network stays.
_data = dict(type='MiniatureADE20K', data_root='data/demo/ADEChallengeData2016', ann_file='')
_training = dict(img_path='images/training', seg_map_path='annotations/training')
_validation = dict(img_path='images/validation', seg_map_path='annotations/validation')
_evaluation = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        **_data,
        data_prefix=_validation,
        pipeline=[dict(type='LoadImage'), dict(type='LoadSegAnnotations'), dict(type='PackSegInputs')],
    ),
)
demo = dict(
    data_root=_data['data_root'],
    train_dataloader=dict(
        batch_size=8,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            **_data,
            data_prefix=_training,
            pipeline=[
                dict(type='LoadImage'),
                dict(type='LoadSegAnnotations'),
                dict(type='RandomResize', scale=(128, 128), ratio_range=(0.5, 1.0), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(64, 64)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackSegInputs'),
            ],
        ),
    ),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
    train_cfg=dict(max_iters=150, val_interval=75),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=20),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=75)),
)
