# Pascal VOC 2012, 20 classes and the background. The root may be set by the environment variable VOC2012_ROOT or
# --cfg-options data_root=PATH.
_base_ = 'ade20k.py'
data_root = '{{$VOC2012_ROOT:data/VOCdevkit/VOC2012}}'
num_classes = 21
_data = dict(type='PascalVOC2012', data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'))
train_dataloader = dict(dataset=dict(**_data, ann_file='ImageSets/Segmentation/train.txt'))
val_dataloader = dict(dataset=dict(**_data, ann_file='ImageSets/Segmentation/val.txt'))
test_dataloader = val_dataloader
demo = dict(num_classes=150)
