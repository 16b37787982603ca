# CIFAR-10 as image files for short trainings: small shifts, and flips in turn, so that two passes show every image both
# ways. The images are read once and kept in memory.
_base_ = 'cifar10_folder.py'
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=[dict(type='BatchCrop', padding=2), dict(type='BatchFlip', alternate=True)]),
)
val_dataloader = dict(batch_size=500)
test_dataloader = val_dataloader
