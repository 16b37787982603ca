# VGGSNN (9.3 M) for 48x48 event frames, with the loss of TET. Initial weights as published: convolutions of Kaiming's
# normal distribution (fan_out), batch norms that begin with weight 1 and bias 0, the head as PyTorch has it. Not as
# published: the biases of the convolutions begin at 0. In training the batch norms subtract them, whatever they are.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='VGGSNN', T=10, time='keep', init_cfg=dict(type='Kaiming', layer='Conv2d')),
    head=dict(type='LinearHead', in_channels=512, grid=3, loss=dict(type='TET', regularization=0.001)),
)
sync_bn = 'torch'
