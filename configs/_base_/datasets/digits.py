# The handwritten digits that scikit-learn brings along, 8x8: 1,437 for training, 360 for the test. Nothing to download.
_base_ = 'classification.py'
num_classes = 10
data_preprocessor = dict(type='ImgDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3)
train_dataloader = dict(
    batch_size=32, num_workers=0, dataset=dict(type='Digits', size=8, pipeline=[dict(type='BatchCrop', padding=1)])
)
val_dataloader = dict(batch_size=360, num_workers=0, dataset=dict(type='Digits', size=8, train=False))
test_dataloader = val_dataloader

# There is nothing to swap in but a shorter schedule.
demo = dict(
    train_cfg=dict(max_iters=90, val_interval=90),
    param_scheduler=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)],
)
