_base_ = [
    '../_base_/models/spikegpt_small.py',
    '../_base_/datasets/text.py',
    '../_base_/schedules/text_adamw.py',
    '../_base_/default_runtime.py',
]
