# Spikformer-2-256 (2.6 M) for 128x128 event frames.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikformer', form='dvs', in_channels=2, embed_dims=256, depth=2, num_heads=16, T=16, time='keep'
    ),
    head=dict(
        type='LinearHead',
        in_channels=256,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    mixing=[dict(type='torchvision/MixUp', alpha=0.5)],
)
sync_bn = 'torch'
