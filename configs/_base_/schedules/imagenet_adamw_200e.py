# AdamW, 5 epochs of warm-up, then a cosine to 1e-6 over 200 epochs of 2,502 batches of 512: 8 devices, batches of 64.
# The learning rate is 6e-4 for each 256 images of a batch. From imagenet/train.py of
# github.com/zhouchenlin2096/QKFormer; that of Spike-Driven-Transformer-V2 has the same rate with LAMB and 10 epochs of
# warm-up. Both name a rate of stochastic depth, but no block of their networks applies it.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.2e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=12510),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=12510),
]
train_cfg = dict(max_iters=500400, val_interval=2502)
default_hooks = dict(checkpoint=dict(interval=2502))
