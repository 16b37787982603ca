# The recipe of resnet9_cifar10.py with a wider network (1.9 M parameters), 70 passes in place of 12, and shifts of four
# pixels in place of two. The first 35 passes train with one time step, the next 29 with two, the last 6 with four. Two
# processes:
#     OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 tools/train.py configs/resnet/resnet9_wide_cifar10.py \
#         --launcher pytorch
_base_ = 'resnet9_cifar10.py'
model = dict(backbone=dict(widths=(64, 256, 256), depths=(1, 1, 1), T=4))
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='BatchCrop', padding=4), dict(type='BatchFlip', alternate=True)])
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1950),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1950),
]
train_cfg = dict(max_iters=13650, val_interval=975)
custom_hooks = [dict(type='WhitenStem'), dict(type='GrowTimeSteps', schedule=[(0, 1), (6825, 2), (12480, 4)])]
