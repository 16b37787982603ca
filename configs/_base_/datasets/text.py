# The documentation that comes with Python, byte by byte: sequences of 128 bytes, and the last tenth of the text for
# validation. Nothing to download. A text of your own: --cfg-options data_root=book.txt
num_classes = 256
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='mmengine.dataset.default_collate'),
    dataset=dict(type='Text', length=128),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='mmengine.dataset.default_collate'),
    dataset=dict(type='Text', train=False, length=128),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='BitsPerCharacter')
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

# There is nothing to swap in but a shorter schedule.
demo = dict(
    train_cfg=dict(max_iters=60, val_interval=60),
    param_scheduler=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)],
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=60)),
)
