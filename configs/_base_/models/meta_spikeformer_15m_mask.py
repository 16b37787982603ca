# Meta-SpikeFormer, 15 M, with a spiking feature pyramid and a spiking head that classifies masks.
_base_ = 'meta_spikeformer_15m_fpn.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='SpikingMaskHead',
        in_channels=[128, 128, 128, 128],
        in_index=[0, 1, 2, 3],
        channels=128,
        num_queries=100,
        num_layers=6,
    )
)
