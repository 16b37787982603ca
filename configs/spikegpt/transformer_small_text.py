_base_ = [
    '../_base_/models/transformer_small_text.py',
    '../_base_/datasets/text.py',
    '../_base_/schedules/text_adamw.py',
    '../_base_/default_runtime.py',
]
