# CIFAR10-DVS in 16 frames of all pixels, with the augmentation published for Spikformer, but that its translations are
# rolls here, and that its erased square, of a random size there, has one size.
_base_ = 'cifar10_dvs.py'
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        T=16,
        size=None,
        pipeline=[
            dict(
                type='BatchEventAugment',
                operations=['identity', 'shear', 'roll', 'roll', 'rotate', 'cutout'],
                shear=17,
                cutout=30,
            )
        ],
    ),
)
val_dataloader = dict(batch_size=16, dataset=dict(T=16, size=None))
test_dataloader = val_dataloader
