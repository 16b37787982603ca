# Spikformer's schedule with another learning rate and batches of 64, 782 an epoch. From
# conf/cifar10/2_512_300E_t4.yml of github.com/BICLab/Spike-Driven-Transformer, which is in float32 (amp: False).
_base_ = 'spikformer_cifar_300e.py'
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 300, by_epoch=False, begin=0, end=15640),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=15640, end=234600),
]
train_cfg = dict(max_iters=242420, val_interval=3910)
default_hooks = dict(checkpoint=dict(interval=3910), stop_mixing=dict(at=156400))
