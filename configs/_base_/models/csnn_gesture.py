# PLIF's network for DVS128 Gesture (1.7 M): five stages of 128 channels, two spiking layers, ten votes for each class.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='CSNN', widths=(128, 128, 128, 128, 128), T=20, time='keep'),
    head=dict(type='VotingHead', in_channels=128, grid=4, hidden=512, bias=False),
)
