# ADE20K SceneParse150. The root may be set by the environment variable ADE20K_ROOT or --cfg-options data_root=PATH.
data_root = '{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}'
crop_size = (512, 512)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# annotations are loaded after the resize: predictions are scored at the original size
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadSegAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='SegmentationMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

# What --demo swaps in: scenes that the package draws, small crops, a short schedule. The network stays as it is.
demo_data = dict(type='MiniatureADE20K', data_root='data/demo/ADEChallengeData2016')
demo_evaluation = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        **demo_data, pipeline=[dict(type='LoadImage'), dict(type='LoadSegAnnotations'), dict(type='PackSegInputs')]
    ),
)
demo = dict(
    data_root=demo_data['data_root'],
    train_dataloader=dict(
        batch_size=8,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            **demo_data,
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
    val_dataloader=demo_evaluation,
    test_dataloader=demo_evaluation,
    train_cfg=dict(max_iters=300, val_interval=100),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=20, end=300),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=100)),
)
