# Meta-SpikeFormer (Spike-driven Transformer v2), 15 M, with a spiking feature pyramid and head.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=16,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        type='MetaSpikeFormer',
        embed_dims=[64, 128, 256, 360],
        depths=[6, 2],
        num_heads=8,
        T=4,
        out_indices=(0, 1, 2, 4),
        time='keep',
    ),
    neck=dict(type='SpikingFPN', in_channels=[32, 64, 128, 360], out_channels=128),
    decode_head=dict(
        type='SpikingFPNHead',
        in_channels=[128, 128, 128, 128],
        in_index=[0, 1, 2, 3],
        feature_strides=[2, 4, 8, 16],
        channels=128,
        dropout_ratio=0.1,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
sync_bn = 'torch'
