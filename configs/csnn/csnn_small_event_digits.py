# A recipe of this project: 200 steps on one CPU core.
_base_ = [
    '../_base_/models/csnn_small.py',
    '../_base_/datasets/event_digits.py',
    '../_base_/schedules/short_adamw.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.005))
