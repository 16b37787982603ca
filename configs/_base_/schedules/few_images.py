# SGD with a short warm-up and a cosine to 0, over 1,200 steps: 60 passes over 1,000 images in batches of 50.
_base_ = 'short_sgd.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=100),
]
train_cfg = dict(max_iters=1200, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=1200))
custom_hooks = [dict(type='TrainingScores')]
