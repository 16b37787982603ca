# CIFAR-10 as image files, data_root/{train,test}/CLASS/*.jpg. The root may be set by the environment variable
# CIFAR10_FOLDER or --cfg-options data_root=PATH. Crops and flips only: short trainings do not overfit.
_base_ = 'cifar10.py'
data_root = '{{$CIFAR10_FOLDER:data/cifar10}}'
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='ImageFolder',
        pipeline=[dict(type='BatchCrop', padding=4), dict(type='BatchFlip', prob=0.5)],
    ),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(_delete_=True, type='ImageFolder', train=False)
)
test_dataloader = val_dataloader
