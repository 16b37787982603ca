# AdamW, 20 epochs of warm-up, a cosine to 1e-5 and 10 epochs at that; no mixup after 200 of the 310. One epoch is 391
# batches of 128. From cifar10/cifar10.yml of github.com/ZK-Zhou/spikformer; there the cosine counts from epoch 0, and
# here from the end of the warm-up. There precision is mixed (amp: True); here it is float32 without --amp.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.06),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=7820),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=7820, end=117300),
]
train_cfg = dict(max_iters=121210, val_interval=1955)
default_hooks = dict(checkpoint=dict(interval=1955), stop_mixing=dict(type='StopMixing', at=78200))
