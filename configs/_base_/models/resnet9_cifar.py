# A ResNet-9 with spikes (1.3 M parameters), small enough to train on two CPU cores.
_neuron = dict(type='LIF', tau=2.0, decay_input=False, v_threshold=0.5, detach_reset=True)
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikingResNet9', widths=(64, 128, 256), depths=(1, 2, 1), stem=32, T=2, time='keep', neuron=_neuron
    ),
    head=dict(
        type='LinearHead',
        in_channels=256,
        spiking=True,
        neuron=_neuron,
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.2),
    ),
)
channels_last = True
