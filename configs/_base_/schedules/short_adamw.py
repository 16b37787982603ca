# AdamW with a short warm-up and a cosine to 0, over 200 steps. The positions of delays move in steps of their own size.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.02, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'.delay.delay': dict(lr_mult=10.0, decay_mult=0.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20),
]
train_cfg = dict(max_iters=200, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200))
