# ResNet-19 (12.6 M) of tdBN and TET, with batch norms that begin threshold-dependent. As in TET's published code, the
# gradient also passes through the reset: it is the default of the backbone's neurons, and written out for the head's.
# Its convolutions have PyTorch's initial weights there, and here; there the linear layers have them, too.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikingResNet', depths=(3, 3, 2), widths=(128, 256, 512), tdbn=True, T=4, time='keep'),
    head=dict(
        type='LinearHead',
        in_channels=512,
        hidden=256,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
        # PyTorch's own initial weights are so small (0.025) that none of the 256 neurons fires on a mean of spikes
        init_cfg=dict(type='Normal', layer='Linear', std=0.2),
    ),
)
sync_bn = 'torch'
channels_last = True
