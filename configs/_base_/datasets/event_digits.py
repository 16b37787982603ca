# scikit-learn's digits in motion before an event camera of 16x16 pixels, 8 frames: 1,437 for training, 360 for the
# test. Nothing to download.
_base_ = 'classification.py'
num_classes = 10
train_dataloader = dict(batch_size=32, num_workers=0, dataset=dict(type='EventDigits', T=8, size=16))
val_dataloader = dict(batch_size=180, num_workers=0, dataset=dict(type='EventDigits', T=8, size=16, train=False))
test_dataloader = val_dataloader

# There is nothing to swap in but a shorter schedule.
demo = dict(
    train_cfg=dict(max_iters=90, val_interval=90),
    param_scheduler=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)],
)
