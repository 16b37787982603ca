# Spike-driven Transformer 2-512 (10.3 M).
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikeDrivenTransformer', embed_dims=512, depth=2, pooling='0011', T=4, time='keep'),
    head=dict(
        type='LinearHead',
        in_channels=512,
        spiking=True,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    mixing=[dict(type='torchvision/MixUp', alpha=0.5)],
)
sync_bn = 'torch'
