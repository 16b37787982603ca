# What --demo swaps in for recordings of speech: spike trains of ten words that the package draws, and a short schedule.
# The network stays as it is; a data set with other than 64 channels sets them.
_loading = dict(num_workers=0, persistent_workers=False)
_evaluation = dict(batch_size=250, **_loading, dataset=dict(_delete_=True, type='SpokenDigits', train=False))
demo = dict(
    num_classes=10,
    train_dataloader=dict(batch_size=32, **_loading, dataset=dict(_delete_=True, type='SpokenDigits')),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
    train_cfg=dict(max_iters=120, val_interval=60),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
