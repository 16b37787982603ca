# The first half of the recipe of resnet9_counts_cifar10.py for one CUDA device: a wider network (4.4 M parameters),
# larger batches, and images that stay on the device and are augmented there. bfloat16 and channels_last come from the
# bases. No GPU figures exist yet: `a2sg-zoo gpu_report training` measures the device, and chooses the number of
# iterations of both halves by the minutes that they may take.
# A machine without a CUDA device needs --cfg-options train_dataloader.dataset.device=cpu.
_base_ = 'resnet9_counts_cifar10.py'
model = dict(backbone=dict(widths=(96, 384, 384)), head=dict(in_channels=384))
data_preprocessor = dict(non_blocking=True)
train_dataloader = dict(batch_size=500, dataset=dict(device='cuda'))
val_dataloader = dict(batch_size=1000)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.4))
# 60 passes of 100 batches
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500),
]
train_cfg = dict(max_iters=6000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=250))
