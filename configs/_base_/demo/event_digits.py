# What --demo swaps in for event frames: the same digits in motion. The network stays as it is but for its time steps.
_base_ = 'digits.py'
_evaluation = dict(dataset=dict(type='EventDigits', T=4, size=16))
demo = dict(
    model=dict(backbone=dict(T=4)),
    train_dataloader=dict(
        dataset=dict(
            type='EventDigits',
            T=4,
            size=16,
            pipeline=[dict(type='BatchEventAugment', operations=['roll'], flip=0.0, roll=1)],
        )
    ),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
)
