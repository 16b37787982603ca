# CamVid street scenes, 320x240, in ADE20K's layout and with its labels: 11 of the 150 classes occur. The root may be
# set by the environment variable CAMVID_ROOT or --cfg-options data_root=PATH.
_base_ = 'ade20k.py'
data_root = '{{$CAMVID_ROOT:data/camvid_as_ade20k}}'
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadSegAnnotations'),
            dict(type='RandomResize', scale=(320, 240), ratio_range=(0.75, 1.5), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(160, 160), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ]
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            # changes none of these images, but a photograph that is given to the trained network later
            dict(type='Resize', scale=(320, 240), keep_ratio=True),
            dict(type='LoadSegAnnotations'),
            dict(type='PackSegInputs'),
        ]
    ),
)
test_dataloader = val_dataloader
