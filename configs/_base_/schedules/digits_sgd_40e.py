# SGD for 40 passes over the 1,437 digits: a minute or two. 45 batches of 32 a pass.
_base_ = 'short_sgd.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=90),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=90),
]
train_cfg = dict(max_iters=1800, val_interval=450)
default_hooks = dict(checkpoint=dict(interval=450))
