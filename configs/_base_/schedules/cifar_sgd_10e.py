# SGD for ten passes over 50,000 images, in bfloat16 where the processor has it: an hour of one CPU core. 391
# batches of 128 a pass.
_base_ = 'cifar_sgd_300e.py'
optim_wrapper = dict(type='AutoPrecisionOptimWrapper')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=200),
]
train_cfg = dict(max_iters=3910, val_interval=391)
default_hooks = dict(checkpoint=dict(interval=391))
