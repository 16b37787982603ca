# SGD for two passes over 50,000 images: what a CPU has the time for. 391 batches of 128 a pass.
_base_ = 'cifar_sgd_300e.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=100, end=782),
]
train_cfg = dict(max_iters=782, val_interval=391)
default_hooks = dict(checkpoint=dict(interval=391))
