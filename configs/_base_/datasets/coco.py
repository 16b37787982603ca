# COCO 2017, boxes of 80 classes. The root may be set by the environment variable COCO_ROOT or --cfg-options
# data_root=PATH. Two boxes of train2017 have no area; they are left out.
_base_ = '../demo/objects.py'
data_root = '{{$COCO_ROOT:data/coco}}'
num_classes = 80
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='COCO',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img_path='train2017'),
        faulty='skip',
        pipeline=[
            dict(type='LoadDetection'),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='torchvision/Resize', size=800, max_size=1333),
            dict(type='PackDetection'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='COCO',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017'),
        pipeline=[
            dict(type='LoadDetection'),
            dict(type='torchvision/Resize', size=800, max_size=1333),
            dict(type='PackDetection'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DetectionMetric', kinds=['bbox'])
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
