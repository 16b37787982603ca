# CIFAR-10 with the augmentation of Spikformer's published code: flips, one of five operations of timm's RandAugment
# 'rand-m9-n1-mstd0.4-inc1' (aa_snn.py there leaves out the other ten), and random erasing. There are no shifts, because
# cifar10.yml there sets the scale and the ratio of timm's crop to 1.
_base_ = 'cifar10.py'
_mean = _base_.data_preprocessor.mean
_operations = ['Equalize', 'Rotate', 'ShearX', 'TranslateX', 'TranslateY']
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='BatchFlip', prob=0.5),
            dict(type='TimmRandAugment', operations=_operations, fill=_mean),
            dict(type='BatchErasing', prob=0.25, fill=_mean),
        ]
    )
)
