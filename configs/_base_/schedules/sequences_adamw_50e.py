# AdamW, 2 epochs of warm-up, then a cosine to 0: a recipe of this project. 50 epochs of 469 batches of 128.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=938),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=938),
]
train_cfg = dict(max_iters=23450, val_interval=469)
default_hooks = dict(checkpoint=dict(interval=469))
