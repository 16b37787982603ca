# ImageNet-1k at 224. The root may be set by the environment variable IMAGENET_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/digits.py']
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
num_classes = 1000
_mean = [123.675, 116.28, 103.53]
data_preprocessor = dict(type='ImgDataPreprocessor', mean=_mean, std=[58.395, 57.12, 57.375])
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageNet',
        pipeline=[
            dict(type='torchvision/RandomResizedCrop', size=224, interpolation=3),
            dict(type='torchvision/RandomHorizontalFlip'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageNet',
        train=False,
        pipeline=[
            dict(type='torchvision/Resize', size=256, interpolation=3),
            dict(type='torchvision/CenterCrop', size=224),
        ],
    ),
)
test_dataloader = val_dataloader

# images of 8 x 8 would be none after the network's strides
_evaluation = dict(batch_size=60, dataset=dict(size=32))
demo = dict(
    train_dataloader=dict(dataset=dict(size=32, pipeline=[dict(type='BatchCrop', padding=4)])),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
)
