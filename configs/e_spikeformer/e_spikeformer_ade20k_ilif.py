# The published neurons: the gradient of their rounding is part of them, so there is no method to choose.
_base_ = [
    '../_base_/models/e_spikeformer_10m_fpn.py',
    '../_base_/datasets/ade20k_e_spikeformer.py',
    '../_base_/schedules/e_spikeformer_ade20k_160k.py',
    '../_base_/default_runtime.py',
]
