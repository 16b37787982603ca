# DCLS-Delays for Spiking Heidelberg Digits in 140 time steps of 10 ms: two layers of 256 neurons, delays to 240 ms.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='DelaySNN',
        in_features=140,
        widths=(256, 256),
        max_delay=25,
        dropout=0.4,
        T=140,
        neuron=dict(type='LIF', tau=1.005, decay_input=False, surrogate=dict(type='ATan', alpha=5.0)),
        time='keep',
    ),
    head=dict(type='ReadoutHead', in_channels=256, tau=1.005, decay_input=False, readout='softmax', max_delay=25),
)
