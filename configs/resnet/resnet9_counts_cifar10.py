# The first half of a recipe: a ResNet-9 without shortcuts (3.1 M parameters) learns with counts of spikes. A neuron
# sends 0 to 4 of them in one time step, with the gradient of the identity, so no method changes this training. 30
# passes over CIFAR-10 as image files. Two processes:
#     OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 tools/train.py configs/resnet/resnet9_counts_cifar10.py \
#         --launcher pytorch
_base_ = 'resnet9_cifar10.py'
_neuron = dict(_delete_=True, type='NILIF', levels=4, v_threshold=0.5)
model = dict(
    backbone=dict(widths=(80, 320, 320), depths=(1, 1, 1), shortcuts=False, T=1, neuron=_neuron),
    head=dict(in_channels=320, neuron=_neuron),
)
_pipeline = [
    dict(type='BatchCrop', padding=4),
    dict(type='BatchFlip', alternate=True),
    dict(type='BatchCutout', size=8, fill=_base_.data_preprocessor.mean),
]
train_dataloader = dict(dataset=dict(pipeline=_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1463),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1463),
]
train_cfg = dict(max_iters=5850, val_interval=975)
custom_hooks = [dict(type='WhitenStem')]
