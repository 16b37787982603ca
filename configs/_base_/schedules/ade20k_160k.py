# AdamW, linear warm-up, then linear decay to 0: the recipe published for Spike-driven Transformers on ADE20K. There the
# precision of the 15 M network is mixed (float16); here it is float32 without --amp.
# There, the backbone begins with weights from ImageNet, of which there are none here; with a file of them, add
# --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.005),
    paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=2.0), decode_head=dict(lr_mult=2.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2, save_best='mIoU'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_info=dict(type='RunInfoHook'),
    step_seed=dict(type='StepSeedHook'),
    guard=dict(type='NonFiniteGuard'),
    pictures=dict(type='SegmentationPictures'),
)
log_processor = dict(by_epoch=False)
