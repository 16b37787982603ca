# Meta-SpikeFormer with less than half its channels and fewer blocks, a plain pyramid of rates, and RetinaNet's head
# with group norm and anchors for pictures of 128 pixels: what a CPU core can train.
model = dict(
    type='SpikingDetector',
    data_preprocessor=dict(
        type='ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], pad_size_divisor=32
    ),
    backbone=dict(
        type='MetaSpikeFormer', embed_dims=[24, 48, 96, 128], depths=[2, 1], num_heads=4, T=2, out_indices=(1, 2, 4)
    ),
    neck=dict(type='FeaturePyramid', in_channels=[24, 48, 128], out_channels=48),
    detection_head=dict(
        type='RetinaNetHead',
        in_channels=48,
        anchor_sizes=[12, 24, 48],
        aspect_ratios=[0.6, 1.2, 2.8],
        scales=2,
        norm_groups=8,
    ),
)
channels_last = True
