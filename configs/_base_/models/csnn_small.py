# CSNN of two stages for event frames of 16x16 pixels and a CPU.
_neuron = dict(type='LIF', tau=2.0, decay_input=False)
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='CSNN', widths=(16, 32), T=8, neuron=_neuron, time='keep'),
    head=dict(type='LinearHead', in_channels=32, grid=2, loss=dict(type='MeanCrossEntropy')),
)
