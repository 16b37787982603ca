# CIFAR10-DVS in 10 frames of 48x48, with the augmentation of TET (that of NDA: operations=["roll", "rotate", "shear"]).
# The root may be set by the environment variable CIFAR10DVS_ROOT or --cfg-options data_root=PATH.
_base_ = 'classification.py'
data_root = '{{$CIFAR10DVS_ROOT:data}}'
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type='CIFAR10DVS',
        data_root=data_root,
        T=10,
        size=48,
        pipeline=[dict(type='BatchEventAugment', operations=['roll'])],
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type='CIFAR10DVS', data_root=data_root, T=10, size=48, train=False),
)
test_dataloader = val_dataloader

# What --demo swaps in: the digits that scikit-learn brings along, in motion, and a short schedule. The network stays as
# it is but for its time steps.
demo_evaluation = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, type='EventDigits', T=4, size=16, train=False),
)
demo = dict(
    model=dict(backbone=dict(T=4)),
    train_dataloader=dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            _delete_=True,
            type='EventDigits',
            T=4,
            size=16,
            pipeline=[dict(type='BatchEventAugment', operations=['roll'], flip=0.0, roll=1)],
        ),
    ),
    val_dataloader=demo_evaluation,
    test_dataloader=demo_evaluation,
    train_cfg=dict(max_iters=120, val_interval=60),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20, end=120),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
