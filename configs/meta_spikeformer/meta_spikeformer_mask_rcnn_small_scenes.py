_base_ = [
    '../_base_/models/meta_spikeformer_small_mask_rcnn.py',
    '../_base_/datasets/small_scenes_masks.py',
    '../_base_/schedules/small_scenes_1k.py',
    '../_base_/default_runtime.py',
]
