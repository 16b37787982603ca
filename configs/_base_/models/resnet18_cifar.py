# ResNet-18 (11.2 M) with batch norms that begin threshold-dependent.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikingResNet',
        depths=(2, 2, 2, 2),
        widths=(64, 128, 256, 512),
        tdbn=True,
        T=4,
        neuron=dict(type='LIF', tau=2.0, decay_input=False),
        time='keep',
    ),
    head=dict(
        type='LinearHead', in_channels=512, num_classes=10, loss=dict(type='MeanCrossEntropy', label_smoothing=0.1)
    ),
)
sync_bn = 'torch'
channels_last = True
