# N-Caltech101 in 10 frames, reduced to 48x48 pixels, with the augmentation of NDA. The root may be set by the
# environment variable NCALTECH101_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/event_digits.py']
data_root = '{{$NCALTECH101_ROOT:data}}'
num_classes = 101
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type='NCaltech101',
        T=10,
        size=48,
        pipeline=[dict(type='BatchEventAugment', operations=['roll', 'rotate', 'shear'])],
    ),
)
val_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='NCaltech101', T=10, size=48, train=False)
)
test_dataloader = val_dataloader
