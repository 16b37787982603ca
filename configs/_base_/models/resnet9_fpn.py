# A ResNet-9 with two more stages, a spiking feature pyramid and head (3.7 M): what a CPU core can train. Its first
# three stages begin with weights that were trained on CIFAR-10.
_neuron = dict(type='LIF', tau=2.0, decay_input=False, v_threshold=0.5, detach_reset=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[125.31, 122.95, 113.87],
        std=[62.99, 62.09, 66.7],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type='SpikingResNet9',
        widths=(64, 128, 256, 256, 256),
        depths=(1, 2, 1, 1, 0),
        stem=32,
        T=2,
        out_indices=(0, 1, 2, 3, 4),
        time='keep',
        neuron=_neuron,
        init_cfg=dict(
            type='Pretrained', checkpoint='zoo:resnet9_cifar10_a2sg', allow_missing=['stages.3.*', 'stages.4.*']
        ),
    ),
    neck=dict(type='SpikingFPN', in_channels=[64, 128, 256, 256, 256], out_channels=64, neuron=_neuron),
    decode_head=dict(
        type='SpikingFPNHead',
        in_channels=[64] * 5,
        in_index=[0, 1, 2, 3, 4],
        feature_strides=[2, 4, 8, 16, 32],
        channels=64,
        dropout_ratio=0.1,
        align_corners=False,
        neuron=_neuron,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
channels_last = True
