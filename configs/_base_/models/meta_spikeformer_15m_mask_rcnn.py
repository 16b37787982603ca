# Meta-SpikeFormer (Spike-driven Transformer v2), 15 M, with a spiking feature pyramid under Mask R-CNN's head. As in
# the published network, the pyramid has five levels from stride 4 on. There, the head has neurons too, and all four
# stages go into the pyramid; here the last two, which have one stride, go in as one.
model = dict(
    type='SpikingDetector',
    data_preprocessor=dict(
        type='ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], pad_size_divisor=32
    ),
    backbone=dict(
        type='MetaSpikeFormer',
        embed_dims=[64, 128, 256, 360],
        depths=[6, 2],
        num_heads=8,
        T=4,
        out_indices=(1, 2, 4),
        time='keep',
    ),
    neck=dict(type='SpikingFPN', in_channels=[64, 128, 360], out_channels=256, num_outs=5),
    detection_head=dict(type='MaskRCNNHead', in_channels=256, anchor_sizes=[32, 64, 128, 256, 512]),
)
sync_bn = 'torch'
