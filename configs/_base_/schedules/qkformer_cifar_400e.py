# Spikformer's schedule over 400 epochs, with another learning rate and batches of 64, 782 an epoch. From
# cifar10/cifar10.yml of github.com/zhouchenlin2096/QKFormer, where precision is mixed (amp: True), too.
_base_ = 'spikformer_cifar_300e.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=15640),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=15640, end=312800),
]
train_cfg = dict(max_iters=320620, val_interval=3910)
default_hooks = dict(checkpoint=dict(interval=3910), stop_mixing=dict(at=156400))
