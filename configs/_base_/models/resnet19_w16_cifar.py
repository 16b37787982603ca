# ResNet-19 with an eighth of its channels (0.20 M): what two CPU cores can train. Our pretrained weights were trained
# without the gradient through the reset, so these neurons stop it (detach_reset=True). The forward pass is the same.
# They also began from other initial weights than resnet19_cifar.py: batch norms of tdBN, and larger linear layers, so
# that the 256 neurons fire from the first step.
_base_ = 'resnet19_cifar.py'
_neuron = dict(type='LIF', tau=2.0, decay_input=False, detach_reset=True)
model = dict(
    backbone=dict(stem=8, widths=(16, 32, 64), tdbn=True, neuron=_neuron),
    head=dict(in_channels=64, neuron=_neuron, init_cfg=dict(type='Normal', layer='Linear', std=0.2)),
)
