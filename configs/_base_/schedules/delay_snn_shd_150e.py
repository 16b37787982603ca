# Adam for 150 epochs of 32 batches of 256: the recipe in the published code of DCLS-Delays, in which the rate of the
# weights rises from 2e-4 to 5e-3 and falls to 0 (one cycle). It differs in two places: the rise is a line, there it is
# a cosine; and the delays follow the same cycle, up to 0.1, where the published one falls by a cosine from 0.1.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=5e-3, weight_decay=1e-5),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            '.delay.delay': dict(lr_mult=20.0, decay_mult=0.0),
            '.linear.delay': dict(lr_mult=20.0, decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, by_epoch=False, begin=0, end=1440),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=1440),
]
train_cfg = dict(max_iters=4800, val_interval=160)
default_hooks = dict(checkpoint=dict(interval=160))
custom_hooks = [dict(type='NarrowDelays', end=1184)]
