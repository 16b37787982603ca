# Meta-SpikeFormer with less than half its channels and fewer blocks: what a CPU core can train.
_base_ = 'meta_spikeformer_15m_fpn.py'
model = dict(
    backbone=dict(embed_dims=[24, 48, 96, 128], depths=[2, 1], num_heads=4),
    neck=dict(in_channels=[12, 24, 48, 128], out_channels=64),
    decode_head=dict(in_channels=[64] * 4, channels=64),
)
channels_last = True
