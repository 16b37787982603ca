_base_ = [
    '../_base_/models/meta_spikeformer_small_fpn.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/camvid_adamw_2k.py',
    '../_base_/default_runtime.py',
]
