# A recipe of this project: 200 steps on one CPU core.
_base_ = [
    '../_base_/models/delay_snn_small.py',
    '../_base_/datasets/spoken_digits.py',
    '../_base_/schedules/short_adamw.py',
    '../_base_/default_runtime.py',
]
