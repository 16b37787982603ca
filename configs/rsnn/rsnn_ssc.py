# The recipe of rsnn_shd.py for Spiking Speech Commands: 30 epochs of 590 batches of 128.
_base_ = [
    '../_base_/models/rsnn_shd.py',
    '../_base_/datasets/ssc.py',
    '../_base_/schedules/rsnn_adam_30e.py',
    '../_base_/default_runtime.py',
]
train_cfg = dict(max_iters=17700, val_interval=590)
default_hooks = dict(checkpoint=dict(interval=590))
