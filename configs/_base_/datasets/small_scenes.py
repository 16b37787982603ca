# Street scenes that the package draws, 128 x 128, with the boxes and masks of persons and cars. Nothing is downloaded.
_base_ = '../demo/objects.py'
data_root = 'data/small_scenes'
num_classes = 2
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='MiniatureCOCO',
        split='train',
        train=1000,
        pipeline=[
            dict(type='LoadDetection'),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='torchvision/RandomPhotometricDistort'),
            dict(type='torchvision/RandomShortestSize', min_size=[112, 128, 144, 160]),
            dict(type='PackDetection'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MiniatureCOCO',
        split='val',
        train=1000,
        pipeline=[
            dict(type='LoadDetection'),
            # changes none of these pictures, but a photograph that is given to the trained network later
            dict(type='torchvision/Resize', size=128, max_size=256),
            dict(type='PackDetection'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DetectionMetric', kinds=['bbox'])
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
