# ResNet-19 with an eighth of its channels (0.20 M): what two CPU cores can train.
_base_ = 'resnet19_cifar.py'
model = dict(backbone=dict(stem=8, widths=(16, 32, 64)), head=dict(in_channels=64))
