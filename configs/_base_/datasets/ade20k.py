# ADE20K SceneParse150. The root may be set by the environment variable ADE20K_ROOT or --cfg-options data_root=PATH.
_base_ = '../demo/scenes.py'
data_root = '{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}'
num_classes = 150
_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSegAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# annotations are loaded after the resize: predictions are scored at the original size
_test_pipeline = [
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
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=_train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ADE20K',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=_test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='SegmentationMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
