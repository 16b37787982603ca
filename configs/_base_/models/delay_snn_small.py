# DelaySNN of two layers of 32 neurons, for sequences of 64 time steps and a CPU: every synapse has a weight and a delay
# of 0 to 24 steps. in_features is that of the data set.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='DelaySNN',
        in_features=64,
        widths=(32, 32),
        max_delay=25,
        dropout=0.1,
        T=64,
        neuron=dict(type='LIF', tau=2.0, decay_input=False),
        time='keep',
    ),
    head=dict(type='ReadoutHead', in_channels=32, tau=10.0, readout='potential', loss=dict(type='MeanCrossEntropy')),
)
custom_hooks = [dict(type='NarrowDelays', end=100)]
