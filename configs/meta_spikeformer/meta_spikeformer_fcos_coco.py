_base_ = [
    '../_base_/models/meta_spikeformer_15m_fcos.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/default_runtime.py',
]
