# Spikformer-4-384 (9.3 M). Initial weights as published: linear layers, which are convolutions of kernel size 1 here,
# from a truncated normal distribution.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikformer',
        form='cifar',
        embed_dims=384,
        depth=4,
        num_heads=12,
        T=4,
        time='keep',
        init_cfg=dict(type='TruncNormal', layer='Conv1d', std=0.02),
    ),
    head=dict(
        type='LinearHead',
        in_channels=384,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    mixing=[dict(type='torchvision/MixUp', alpha=0.5)],
)
sync_bn = 'torch'
