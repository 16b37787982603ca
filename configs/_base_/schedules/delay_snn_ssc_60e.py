# The recipe of delay_snn_shd_150e.py for 60 epochs of 590 batches of 128.
_base_ = 'delay_snn_shd_150e.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, by_epoch=False, begin=0, end=10620),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=10620),
]
train_cfg = dict(max_iters=35400, val_interval=590)
default_hooks = dict(checkpoint=dict(interval=590))
custom_hooks = [dict(type='NarrowDelays', end=8850)]
