# Spikformer-8-384 under a plain pyramid of rates and RetinaNet's head. Levels P3 and P4 are the backbone's at strides 8
# and 16; P5, P6 and P7 follow by convolutions.
model = dict(
    type='SpikingDetector',
    data_preprocessor=dict(
        type='ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], pad_size_divisor=32
    ),
    backbone=dict(type='Spikformer', form='imagenet', embed_dims=384, depth=8, num_heads=12, T=4, out_indices=(2, 3)),
    neck=dict(type='FeaturePyramid', in_channels=[192, 384], out_channels=256, num_outs=5, extra='conv'),
    detection_head=dict(type='RetinaNetHead', in_channels=256, anchor_sizes=[32, 64, 128, 256, 512]),
)
sync_bn = 'torch'
