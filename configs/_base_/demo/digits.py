# What --demo swaps in for images: the digits that scikit-learn brings along, and a short schedule. The network stays.
_loading = dict(num_workers=0, persistent_workers=False)
_evaluation = dict(batch_size=64, **_loading, dataset=dict(_delete_=True, type='Digits', size=8, train=False))
demo = dict(
    num_classes=10,
    train_dataloader=dict(
        batch_size=16,
        **_loading,
        dataset=dict(_delete_=True, type='Digits', size=8, pipeline=[dict(type='BatchCrop', padding=1)]),
    ),
    val_dataloader=_evaluation,
    test_dataloader=_evaluation,
    train_cfg=dict(max_iters=120, val_interval=60),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=20),
    ],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
