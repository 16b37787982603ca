# AdamW, 10 epochs of warm-up, a cosine to 3e-4 and 10 epochs at that. One epoch is 282 batches of 32. From
# conf/cifar10-dvs/2_256_200E_t10_TET.yml of github.com/BICLab/Spike-Driven-Transformer; there the cosine counts from
# epoch 0, and here from the end of the warm-up. There precision is mixed (amp: True); here it is float32 without --amp.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=7.5e-3, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 7.5, by_epoch=False, begin=0, end=2820),
    dict(type='CosineAnnealingLR', eta_min=3e-4, by_epoch=False, begin=2820, end=56400),
]
train_cfg = dict(max_iters=59220, val_interval=1410)
default_hooks = dict(checkpoint=dict(interval=1410))
