# Pascal Context, 59 classes. The root may be set by the environment variable PASCAL_CONTEXT_ROOT or
# --cfg-options data_root=PATH.
_base_ = 'ade20k.py'
data_root = '{{$PASCAL_CONTEXT_ROOT:data/VOCdevkit/VOC2010}}'
num_classes = 59
_data = dict(type='PascalContext59', data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'))
train_dataloader = dict(dataset=dict(**_data, ann_file='ImageSets/SegmentationContext/train.txt'))
val_dataloader = dict(dataset=dict(**_data, ann_file='ImageSets/SegmentationContext/val.txt'))
test_dataloader = val_dataloader
demo = dict(num_classes=150)
