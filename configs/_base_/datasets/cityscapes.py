# Cityscapes, 19 classes, crops of 512x1024. The root may be set by the environment variable CITYSCAPES_ROOT or
# --cfg-options data_root=PATH.
_base_ = 'ade20k.py'
data_root = '{{$CITYSCAPES_ROOT:data/cityscapes}}'
num_classes = 19
_train = dict(type='Cityscapes', data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'))
_val = dict(type='Cityscapes', data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'))
train_dataloader = dict(
    dataset=dict(
        **_train,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadSegAnnotations'),
            dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(512, 1024), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        **_val,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
            dict(type='LoadSegAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )
)
test_dataloader = val_dataloader
demo = dict(num_classes=150)
