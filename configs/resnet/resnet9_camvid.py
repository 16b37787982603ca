# The loss of a class weighs sqrt(4.49 / its share of the labelled pixels for training in percent); 4.49 is the median.
_base_ = [
    '../_base_/models/resnet9_fpn.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/camvid_adamw_3k.py',
    '../_base_/default_runtime.py',
]
# {label of ADE20K, from 1: weight}; the other labels do not occur
_weights = {2: 0.44, 3: 0.52, 5: 0.68, 7: 0.38, 12: 1.0, 13: 2.65, 21: 0.87, 33: 1.99, 44: 1.96, 94: 2.14, 128: 3.93}
model = dict(decode_head=dict(loss_decode=dict(class_weight=[_weights.get(label, 1.0) for label in range(1, 151)])))
