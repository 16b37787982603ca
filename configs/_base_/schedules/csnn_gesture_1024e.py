# Adam for 1,024 epochs of 73 batches of 16 (the published code drops a last batch that is not full), with a rate that
# goes from 1e-3 to 0 and back, a half period every 64 epochs.
_base_ = 'classification.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='CosineAnnealingLR', T_max=4672, eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(max_iters=74752, val_interval=730)
default_hooks = dict(checkpoint=dict(interval=730))
