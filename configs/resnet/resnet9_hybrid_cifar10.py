# The second half of the recipe of resnet9_counts_cifar10.py: its weights learn to work with spikes. In place of a count
# of 0 to 4, a neuron sends up to four spikes in four time steps. A count stood for a current of 0.5; the same current
# in all four steps adds up to 2, which is v_threshold. The membrane potential begins at half of it, which rounds as
# counts do, poolings take the largest of sums over time, and norms keep their statistics, since currents of single
# steps vary more than their means. Three passes. This is hybrid training (Rathi et al., ICLR 2020), with counts in
# place of a network without spikes. Two processes:
#     OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 tools/train.py configs/resnet/resnet9_hybrid_cifar10.py \
#         --launcher pytorch
_base_ = 'resnet9_counts_cifar10.py'
_neuron = dict(_delete_=True, type='IF', v_threshold=2.0, v_reset=1.0, reset='soft', detach_reset=True)
model = dict(
    init_cfg=dict(type='Pretrained', checkpoint='zoo:resnet9_counts_cifar10', allow_missing=['*.beta']),
    backbone=dict(T=4, pool='sum', neuron=_neuron),
    head=dict(neuron=_neuron),
)
frozen = [r'.*\.bn']
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=20),
]
train_cfg = dict(max_iters=585, val_interval=195)
custom_hooks = []
