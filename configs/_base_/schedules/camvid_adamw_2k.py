# ADE20K's recipe, shortened to 2,000 batches and in bfloat16 where the processor has it: an hour of one CPU core.
_base_ = 'ade20k_160k.py'
optim_wrapper = dict(type='AutoPrecisionOptimWrapper')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=100),
]
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=250))
