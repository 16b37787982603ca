# A folder of yours with images/{train,val}, masks/{train,val} and labels.txt; see the page on segmentation. Set its
# path with --cfg-options data_root=PATH or the environment variable MASK_FOLDER_ROOT, and num_classes to the number of
# lines in labels.txt.
_base_ = 'ade20k.py'
data_root = '{{$MASK_FOLDER_ROOT:data/masks}}'
num_classes = 2
_train = dict(type='MaskFolder', data_prefix=dict(img_path='images/train', seg_map_path='masks/train'))
_val = dict(type='MaskFolder', data_prefix=dict(img_path='images/val', seg_map_path='masks/val'))
train_dataloader = dict(dataset=_train)
val_dataloader = dict(dataset=_val)
test_dataloader = val_dataloader
demo = dict(num_classes=150)
