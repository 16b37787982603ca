# What --demo swaps in for images that are read pixel by pixel: the digits that scikit-learn brings along, 64 time
# steps, and a short schedule. The network stays as it is but for its time steps.
_loading = dict(num_workers=0, persistent_workers=False)
_evaluation = dict(batch_size=180, **_loading, dataset=dict(_delete_=True, type='DigitSequences', train=False))
demo = dict(
    num_classes=10,
    model=dict(backbone=dict(T=64)),
    train_dataloader=dict(batch_size=32, **_loading, dataset=dict(_delete_=True, type='DigitSequences')),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
    train_cfg=dict(max_iters=120, val_interval=60),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
