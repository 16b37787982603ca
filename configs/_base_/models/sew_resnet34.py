# SEW-ResNet-34 (21.8 M), ADD. Initial weights as published: convolutions of Kaiming's normal distribution (fan_out),
# batch norms that begin with weight 1 and bias 0, and the linear layer as PyTorch has it. The published code can also
# begin a block's last batch norm at weight 0, and its logs show that it did not do so for SEW-ResNets.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SEWResNet',
        depths=(3, 4, 6, 3),
        block='basic',
        connect='ADD',
        T=4,
        time='keep',
        init_cfg=dict(type='Kaiming', layer='Conv2d'),
    ),
    head=dict(type='LinearHead', in_channels=512, loss=dict(type='MeanCrossEntropy')),
)
channels_last = True
