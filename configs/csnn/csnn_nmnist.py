# train.py of github.com/fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron (Fang et al., ICCV 2021),
# for 100 epochs of 3,750 batches of 16; there: 1,024.
_base_ = [
    '../_base_/models/csnn_nmnist.py',
    '../_base_/datasets/nmnist.py',
    '../_base_/schedules/csnn_gesture_1024e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
param_scheduler = dict(T_max=240000)
train_cfg = dict(max_iters=375000, val_interval=3750)
default_hooks = dict(checkpoint=dict(interval=3750))
