# RecurrentSNN for Spiking Heidelberg Digits, in 100 time steps: two layers of 128 neurons with feedback.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='RecurrentSNN', in_features=140, widths=(128, 128), dropout=0.1, T=100, time='keep'),
    head=dict(type='ReadoutHead', in_channels=128, tau=10.0, readout='softmax'),
)
