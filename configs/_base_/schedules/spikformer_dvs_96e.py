# AdamW, 10 epochs of warm-up, then a cosine to 1e-5: the recipe published for Spikformer on CIFAR10-DVS. 96 epochs of
# 562 batches of 16. It differs from the published one in that mixup is on in every batch and to the end (there: in half
# of them, for 75 epochs), that there are no epochs of cool-down, and that it is float32 without --amp (there: mixed).
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.06),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=5620),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=5620),
]
train_cfg = dict(max_iters=53952, val_interval=562)
default_hooks = dict(checkpoint=dict(interval=562))
