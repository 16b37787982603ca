# Meta-SpikeFormer, 15 M, with a spiking feature pyramid under FCOS' head. Levels P3 and P4 are the backbone's at
# strides 8 and 16; P5, P6 and P7 are subsampled from P4.
_base_ = 'meta_spikeformer_15m_mask_rcnn.py'
model = dict(
    backbone=dict(out_indices=(2, 4)),
    neck=dict(in_channels=[128, 360]),
    detection_head=dict(_delete_=True, type='FCOSHead', in_channels=256, strides=[8, 16, 32, 64, 128]),
)
