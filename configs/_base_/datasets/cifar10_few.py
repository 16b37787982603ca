# 1,000 of CIFAR-10's training images at 16x16, flipped at random and no more: few enough for a small network to learn
# by heart. Validation takes training images that no run trains on; the test images serve for the final figures alone.
# As image files: see cifar10_folder.py.
_base_ = 'cifar10_folder.py'
train_dataloader = dict(
    batch_size=50,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(size=16, per_class=(0, 100), pipeline=[dict(type='BatchFlip', prob=0.5)]),
)
val_dataloader = dict(dataset=dict(size=16, train=True, per_class=(400, 600)))
test_dataloader = dict(dataset=dict(size=16, per_class=(0, 500)))
