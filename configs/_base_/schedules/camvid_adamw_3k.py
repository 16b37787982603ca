# ADE20K's optimizer for 3,000 batches, in bfloat16 where the processor has it; the first 2,400 train with one time
# step.
_base_ = 'ade20k_160k.py'
optim_wrapper = dict(type='AutoPrecisionOptimWrapper')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=100),
]
train_cfg = dict(max_iters=3000, val_interval=600)
default_hooks = dict(checkpoint=dict(interval=300))
custom_hooks = [dict(type='GrowTimeSteps', schedule=[(0, 1), (2400, 2)])]
