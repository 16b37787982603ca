# QKFormer-10-384 (16.5 M), without carry-over: see qkformer_4_384_cifar.py.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='QKFormer', form='imagenet', embed_dims=384, depth=10, num_heads=6, carry_over=False, T=4, time='keep'
    ),
    head=dict(
        type='LinearHead',
        in_channels=384,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
)
sync_bn = 'torch'
