# ImageNet-1k with RandAugment of magnitude 9 out of 30, and random erasing. (timm's, which the published codes use, is
# of magnitude 9 out of 10 with noise, and each of its operations happens with probability 1/2.)
_base_ = 'imagenet.py'
_mean = _base_.data_preprocessor.mean
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='torchvision/RandomResizedCrop', size=224, interpolation=3),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='torchvision/RandAugment', num_ops=2, magnitude=9, interpolation=2, fill=_mean),
            dict(type='torchvision/PILToTensor'),
            dict(type='torchvision/RandomErasing', p=0.25, value=_mean),
        ]
    )
)
