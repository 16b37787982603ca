# Spike trains of ten words, drawn by rule: 64 channels, 64 time steps, 2,000 for training and 500 for the test. Nothing
# to download.
_base_ = 'classification.py'
num_classes = 10
train_dataloader = dict(batch_size=32, num_workers=0, dataset=dict(type='SpokenDigits'))
val_dataloader = dict(batch_size=250, num_workers=0, dataset=dict(type='SpokenDigits', train=False))
test_dataloader = val_dataloader

# There is nothing to swap in but a shorter schedule.
demo = dict(
    train_cfg=dict(max_iters=90, val_interval=90),
    param_scheduler=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)],
)
