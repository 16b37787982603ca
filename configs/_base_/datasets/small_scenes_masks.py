# The drawn street scenes with the masks of persons and cars.
_base_ = 'small_scenes.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadDetection', masks=True),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='torchvision/RandomPhotometricDistort'),
            dict(type='torchvision/RandomShortestSize', min_size=[112, 128, 144, 160]),
            dict(type='PackDetection'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadDetection', masks=True),
            dict(type='torchvision/Resize', size=128, max_size=256),
            dict(type='PackDetection'),
        ]
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(kinds=['bbox', 'segm'])
test_evaluator = val_evaluator
