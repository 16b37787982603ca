# QKFormer-4-384 (6.7 M). Potentials are not carried over from one image of a batch to the next, as they are in the
# published code: windows that are adapted a time step at a time need each image to have its T steps.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='QKFormer', form='cifar', embed_dims=384, depth=4, num_heads=8, carry_over=False, T=4, time='keep'
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
