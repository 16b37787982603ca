# Meta-SpikeFormer (Spike-driven Transformer v2), 15 M. The published one trains with T = 1 first and is tuned with 4.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='MetaSpikeFormer', embed_dims=[64, 128, 256, 360], depths=[6, 2], num_heads=8, T=4, time='keep'),
    head=dict(
        type='LinearHead',
        in_channels=360,
        spiking=True,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
)
sync_bn = 'torch'
