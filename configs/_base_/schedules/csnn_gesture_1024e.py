# Adam for 1,024 epochs of 73 batches of 16, with a rate that goes from 1e-3 to 0 and back, a half period every 64
# epochs. The published code reads 1,176 recordings and drops a last batch that is not full; Tonic's split has 1,077.
_base_ = 'classification.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='CosineAnnealingLR', T_max=4672, eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(max_iters=74752, val_interval=730)
default_hooks = dict(checkpoint=dict(interval=730))
