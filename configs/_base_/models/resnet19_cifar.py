# ResNet-19 (12.6 M) of tdBN and TET. As in TET's published code, the gradient also passes through the reset: it is the
# default of the backbone's neurons, and written out for the head's. Initial weights as in that code: PyTorch's own for
# convolutions and linear layers, and batch norms that begin with weight 1 and bias 0. That code can use Kaiming's
# distribution, but only together with an option that it does not set. The linear layers are so small that the head's
# neurons are silent at first: the loss of a narrow network stood still for some 150 steps (A2SG; batches of 32).
# tdBN's batch norms begin at 1 / sqrt(2) at the end of a block (model.backbone.tdbn=True). We did not find the code of
# tdBN's authors, so we do not know how its convolutions begin.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikingResNet', depths=(3, 3, 2), widths=(128, 256, 512), T=4, time='keep'),
    head=dict(
        type='LinearHead',
        in_channels=512,
        hidden=256,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        loss=dict(type='MeanCrossEntropy', label_smoothing=0.1),
    ),
)
sync_bn = 'torch'
channels_last = True
