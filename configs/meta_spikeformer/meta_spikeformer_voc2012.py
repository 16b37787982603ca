_base_ = [
    '../_base_/models/meta_spikeformer_15m_fpn.py',
    '../_base_/datasets/voc2012.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/default_runtime.py',
]
