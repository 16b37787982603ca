# What data sets for classification share: how samples are drawn and put together, the metric, and where curves go.
train_dataloader = dict(
    sampler=dict(type='ResumableSampler', shuffle=True), collate_fn=dict(type='mmengine.dataset.default_collate')
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='mmengine.dataset.default_collate')
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy')
test_evaluator = val_evaluator
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
