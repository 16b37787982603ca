# COCO 2017 with the masks of objects.
_base_ = 'coco.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadDetection', masks=True),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='torchvision/Resize', size=800, max_size=1333),
            dict(type='PackDetection'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadDetection', masks=True),
            dict(type='torchvision/Resize', size=800, max_size=1333),
            dict(type='PackDetection'),
        ]
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(kinds=['bbox', 'segm'])
test_evaluator = val_evaluator
