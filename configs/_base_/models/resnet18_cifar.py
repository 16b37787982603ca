# ResNet-18 (11.2 M). Its neurons are those of resnet19_cifar.py: the gradient also passes through the reset. Initial
# weights as in the published code of ASGL (Wang et al., ICML 2023), which trains this network: PyTorch's own for
# convolutions and the linear layer, and batch norms that begin with weight 1 and bias 0. We did not find the code of
# Dspike, the source of the ResNet-18 in our table of published results.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikingResNet', depths=(2, 2, 2, 2), widths=(64, 128, 256, 512), T=4, time='keep'),
    head=dict(type='LinearHead', in_channels=512, loss=dict(type='MeanCrossEntropy', label_smoothing=0.1)),
)
sync_bn = 'torch'
channels_last = True
