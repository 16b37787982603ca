# A residual network of 8 layers (0.1 M), for small images and two CPU cores. Our pretrained weights and benchmarks were
# trained without the gradient through the reset, so these neurons stop it (detach_reset=True).
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikingResNet',
        depths=(1, 1, 1),
        widths=(16, 32, 64),
        stem=16,
        tdbn=True,
        T=4,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, detach_reset=True),
        time='keep',
    ),
    head=dict(type='LinearHead', in_channels=64, loss=dict(type='MeanCrossEntropy')),
)
channels_last = True
