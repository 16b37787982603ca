# VGGSNN (9.3 M) for 48x48 event frames, with the loss of TET. Initial weights as published: the backbone's own, and
# batch norms that begin with weight 1 and bias 0; the head's are PyTorch's.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='VGGSNN', T=10, time='keep'),
    head=dict(type='LinearHead', in_channels=512, grid=3, loss=dict(type='TET', regularization=0.001)),
)
sync_bn = 'torch'
