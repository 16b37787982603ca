# What trainings of classifiers share: loops that count iterations, and hooks.
train_cfg = dict(type='IterBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, max_keep_ckpts=2, save_best='top1'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_info=dict(type='RunInfoHook'),
    step_seed=dict(type='StepSeedHook'),
    guard=dict(type='NonFiniteGuard'),
)
log_processor = dict(by_epoch=False)
