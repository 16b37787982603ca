# PLIF's network for N-MNIST (17.1 M): two stages of 128 channels, two spiking layers, ten votes for each class.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='CSNN', widths=(128, 128), T=10, time='keep'),
    head=dict(type='VotingHead', in_channels=128, grid=8, hidden=2048, bias=False),
)
