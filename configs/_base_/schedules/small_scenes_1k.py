# 1,000 steps with a larger rate, in bfloat16 where the processor has it: minutes of two CPU cores.
_base_ = 'coco_1x.py'
optim_wrapper = dict(type='AutoPrecisionOptimWrapper', optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=50),
]
train_cfg = dict(max_iters=1000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=250))
