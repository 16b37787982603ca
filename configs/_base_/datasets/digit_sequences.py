# scikit-learn's digits, 8x8, one pixel a time step: 64 steps of one number in [0, 1]. Nothing to download.
_base_ = 'classification.py'
num_classes = 10
train_dataloader = dict(batch_size=32, num_workers=0, dataset=dict(type='DigitSequences'))
val_dataloader = dict(batch_size=360, num_workers=0, dataset=dict(type='DigitSequences', train=False))
test_dataloader = val_dataloader

# There is nothing to swap in but a shorter schedule.
demo = dict(
    train_cfg=dict(max_iters=90, val_interval=90),
    param_scheduler=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)],
)
