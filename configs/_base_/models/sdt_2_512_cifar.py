# Spike-driven Transformer 2-512 (10.3 M). Initial weights as published: convolutions from a truncated normal
# distribution, the head as PyTorch has it.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikeDrivenTransformer',
        embed_dims=512,
        depth=2,
        pooling='0011',
        T=4,
        time='keep',
        init_cfg=dict(type='TruncNormal', layer=['Conv2d', 'Conv1d'], std=0.02),
    ),
    head=dict(
        type='LinearHead', in_channels=512, spiking=True, loss=dict(type='MeanCrossEntropy', label_smoothing=0.1)
    ),
    mixing=[dict(type='torchvision/MixUp', alpha=0.5)],
)
sync_bn = 'torch'
