# The small Meta-SpikeFormer and its pyramid under FCOS' head with half the convolutions: what a CPU core can train. The
# head's group norm has 32 groups, so the pyramid has 64 channels.
_base_ = 'meta_spikeformer_small_retinanet.py'
model = dict(
    neck=dict(out_channels=64),
    detection_head=dict(_delete_=True, type='FCOSHead', in_channels=64, strides=[4, 8, 16], num_convs=2),
)
