# AdamW for ten passes over 50,000 images, in bfloat16 where the processor has it: an hour of one CPU core. 391
# batches of 128 a pass.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.06),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=200),
]
train_cfg = dict(max_iters=3910, val_interval=391)
default_hooks = dict(checkpoint=dict(interval=391))
