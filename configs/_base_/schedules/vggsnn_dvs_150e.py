# Adam and a cosine to 0: the recipe in TET's published code for CIFAR10-DVS. 150 epochs of 70.3 batches of 128.
_base_ = 'classification.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(max_iters=10547, val_interval=352)
default_hooks = dict(checkpoint=dict(interval=352))
