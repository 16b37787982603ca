# The small Meta-SpikeFormer with spikes to the end: a spiking pyramid, and RetinaNet's head with neurons.
_base_ = 'meta_spikeformer_small_retinanet.py'
model = dict(
    backbone=dict(time='keep'),
    neck=dict(type='SpikingFPN'),
    detection_head=dict(
        _delete_=True,
        type='SpikingRetinaNetHead',
        in_channels=48,
        anchor_sizes=[12, 24, 48],
        aspect_ratios=[0.6, 1.2, 2.8],
        scales=2,
    ),
)
