# The recipe of resnet9_cifar10.py for one CUDA device: a wider network (4.3 M parameters), larger batches, and
# images that stay on the device and are augmented there. It trains with one time step first, then with two, and with
# four at the end. bfloat16 and channels_last come from the bases. No GPU figures exist yet: `a2sg-zoo gpu_report
# training` measures the device, and chooses the number of iterations by the minutes that it may take.
# A machine without a CUDA device needs --cfg-options train_dataloader.dataset.device=cpu.
_base_ = 'resnet9_cifar10.py'
model = dict(backbone=dict(widths=(64, 256, 512), depths=(1, 1, 1), T=4), head=dict(in_channels=512))
data_preprocessor = dict(non_blocking=True)
train_dataloader = dict(
    batch_size=500,
    dataset=dict(device='cuda', pipeline=[dict(type='BatchCrop', padding=4), dict(type='BatchFlip', alternate=True)]),
)
val_dataloader = dict(batch_size=1000)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.3))
# 40 passes of 100 batches
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=800),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=800),
]
train_cfg = dict(max_iters=4000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=250))
custom_hooks = [dict(type='WhitenStem'), dict(type='GrowTimeSteps', schedule=[(0, 1), (2400, 2), (3600, 4)])]
