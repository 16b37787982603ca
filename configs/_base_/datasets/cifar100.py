# CIFAR-100. The root may be set by the environment variable CIFAR_ROOT or --cfg-options data_root=PATH.
_base_ = 'cifar10.py'
mean = [129.3, 124.07, 112.43]
data_preprocessor = dict(mean=mean, std=[68.17, 65.39, 70.42])
train_dataloader = dict(
    dataset=dict(
        num_classes=100,
        pipeline=[
            dict(type='BatchCrop', padding=4),
            dict(type='BatchFlip', prob=0.5),
            dict(type='BatchAutoAugment', fill=mean),
            dict(type='BatchCutout', size=16, fill=mean),
        ],
    )
)
val_dataloader = dict(dataset=dict(num_classes=100))
test_dataloader = val_dataloader
demo = dict(model=dict(head=dict(num_classes=10)))
