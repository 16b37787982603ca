# COCO's 1x schedule as Detectron publishes it: 90,000 steps of 16 pictures, a warm-up of 500 steps, a tenth of the rate
# after 60,000 and after 80,000. A process takes 2 pictures, so 16 are 8 processes. Not as there: AdamW in place of SGD,
# with the rate and the decay that are published for transformers under this schedule (Swin).
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, milestones=[60000, 80000], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=90000, val_interval=7500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2, save_best='bbox_mAP'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_info=dict(type='RunInfoHook'),
    step_seed=dict(type='StepSeedHook'),
    guard=dict(type='NonFiniteGuard'),
    pictures=dict(type='DetectionPictures'),
)
log_processor = dict(by_epoch=False)
