# Meta-SpikeFormer, 15 M, with UPerNet's head, spiking.
_base_ = 'meta_spikeformer_15m_fpn.py'
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='SpikingUPerHead',
        in_channels=[32, 64, 128, 360],
        in_index=[0, 1, 2, 3],
        channels=128,
        dropout_ratio=0.1,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
