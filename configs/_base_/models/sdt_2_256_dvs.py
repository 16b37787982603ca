# Spike-driven Transformer 2-256 (2.5 M) for 64x64 event frames, whose attention pools, with the loss of TET.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikeDrivenTransformer',
        embed_dims=256,
        depth=2,
        pooling='0011',
        pooled_attention=True,
        num_heads=8,
        in_channels=2,
        T=10,
        time='keep',
        init_cfg=dict(type='TruncNormal', layer=['Conv2d', 'Conv1d'], std=0.02),
    ),
    head=dict(
        type='LinearHead',
        in_channels=256,
        spiking=True,
        loss=dict(type='TET', regularization=0.001, label_smoothing=0.1),
    ),
)
sync_bn = 'torch'
