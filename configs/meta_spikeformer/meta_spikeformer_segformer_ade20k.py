_base_ = [
    '../_base_/models/meta_spikeformer_15m_segformer.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/default_runtime.py',
]
