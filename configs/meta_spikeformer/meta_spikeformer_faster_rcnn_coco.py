_base_ = [
    '../_base_/models/meta_spikeformer_15m_faster_rcnn.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/default_runtime.py',
]
