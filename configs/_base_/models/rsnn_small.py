# RecurrentSNN of one layer of 48 neurons, for sequences of 64 time steps and a CPU. The data set sets in_features.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='RecurrentSNN',
        in_features=64,
        widths=(48,),
        dropout=0.0,
        T=64,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, reset='soft'),
        time='keep',
    ),
    head=dict(type='ReadoutHead', in_channels=48, tau=10.0, readout='potential'),
)
