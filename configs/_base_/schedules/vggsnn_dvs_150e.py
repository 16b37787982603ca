# Adam and a cosine to 0: the recipe in TET's published code for CIFAR10-DVS. 150 epochs of 70.3 batches of 128.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=10547)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10547, val_interval=352)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=352, max_keep_ckpts=2, save_best='top1'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_info=dict(type='RunInfoHook'),
    step_seed=dict(type='StepSeedHook'),
    guard=dict(type='NonFiniteGuard'))
log_processor = dict(by_epoch=False)
