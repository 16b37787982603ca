# ResNet-18 (11.2 M) with batch norms that begin threshold-dependent. Its neurons are those of resnet19_cifar.py: the
# gradient also passes through the reset.
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikingResNet', depths=(2, 2, 2, 2), widths=(64, 128, 256, 512), tdbn=True, T=4, time='keep'),
    head=dict(type='LinearHead', in_channels=512, loss=dict(type='MeanCrossEntropy', label_smoothing=0.1)),
)
sync_bn = 'torch'
channels_last = True
