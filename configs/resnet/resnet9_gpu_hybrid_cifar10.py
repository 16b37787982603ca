# The second half of the recipe of resnet9_hybrid_cifar10.py for one CUDA device: 5 passes. It begins with the weights
# of resnet9_gpu_counts_cifar10.py, of which none are published yet: train them first, in the same folder.
_base_ = 'resnet9_gpu_counts_cifar10.py'
_neuron = dict(_delete_=True, type='IF', v_threshold=2.0, v_reset=1.0, reset='soft', detach_reset=True)
model = dict(
    init_cfg=dict(
        type='Pretrained', checkpoint='work_dirs/resnet9_gpu_counts_cifar10/iter_6000.pth', allow_missing=['*.beta']
    ),
    backbone=dict(T=4, pool='sum', neuron=_neuron),
    head=dict(neuron=_neuron),
)
frozen = [r'.*\.bn']
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50),
]
train_cfg = dict(max_iters=500, val_interval=125)
default_hooks = dict(checkpoint=dict(interval=50))
custom_hooks = []
