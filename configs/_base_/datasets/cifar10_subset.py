# 5,000 of CIFAR-10's training images at 16x16, and 2,000 of its test images: what many short runs on a CPU can afford.
# As image files: see cifar10_folder.py.
_base_ = 'cifar10_folder.py'
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        size=16, per_class=(0, 500), pipeline=[dict(type='BatchCrop', padding=2), dict(type='BatchFlip', prob=0.5)]
    ),
)
val_dataloader = dict(dataset=dict(size=16, per_class=(0, 200)))
test_dataloader = val_dataloader
