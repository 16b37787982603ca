# Spikformer-2-128 (0.6 M): what a CPU core can train. Our pretrained weights began from PyTorch's initial weights.
_base_ = 'spikformer_4_384_cifar.py'
model = dict(backbone=dict(embed_dims=128, depth=2, num_heads=4, init_cfg=None), head=dict(in_channels=128), mixing=[])
channels_last = True
