"""Spikformer (Zhou et al., ICLR 2023): spiking patch embedding, then blocks of spiking self-attention and MLP.

Reference implementation: github.com/ZK-Zhou/spikformer.
"""

from torch import nn

from a2sg_zoo.backbones.base import SpikingBackbone
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.layers import conv_bn, encode, spiking_attention, token_bn
from a2sg_zoo.registry import MODELS

POOLED = dict(cifar=(False, False, True, True), imagenet=(True, True, True, True))


class SpikingPatchStage(nn.Module):
    """Convolution, batch norm, neuron, and (if pooled) max pooling by 2."""

    def __init__(self, in_channels, out_channels, neuron, pooled):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        self.neuron = neuron
        self.pool = nn.MaxPool2d(3, 2, 1) if pooled else None

    def forward(self, x):
        return self.fire(self.project(x))

    def fire(self, x):
        s = self.neuron(x)
        return s if self.pool is None else self.pool(s.flatten(0, 1)).unflatten(0, s.shape[:2])


class SpikingSelfAttention(nn.Module):
    """SSA: Q, K, V are spikes, their product is scaled and fires again; no softmax. (T, B, C, N) to the same."""

    def __init__(self, dim, heads, make_neuron, qkv_bias, scale=0.125):
        super().__init__()
        if dim % heads:
            raise ConfigError(f'Spikformer: embed_dims = {dim} must be divisible by num_heads = {heads}')
        self.heads, self.scale = heads, scale
        self.q, self.k, self.v = (token_bn(dim, dim, qkv_bias) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        # attention sums are small: the published network halves the threshold there
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)
        self.proj_neuron = make_neuron()

    def forward(self, x):
        q, k, v = self.q_neuron(self.q(x)), self.k_neuron(self.k(x)), self.v_neuron(self.v(x))
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj_neuron(self.proj(s))


class SpikingMLP(nn.Module):
    """Two linear layers, each with batch norm and neuron. (T, B, C, N) to the same."""

    def __init__(self, dim, hidden, make_neuron):
        super().__init__()
        self.fc1, self.neuron1 = token_bn(dim, hidden), make_neuron()
        self.fc2, self.neuron2 = token_bn(hidden, dim), make_neuron()

    def forward(self, x):
        return self.neuron2(self.fc2(self.neuron1(self.fc1(x))))


class SpikformerBlock(nn.Module):
    """x + SSA(x), then x + MLP(x); what is added are spikes."""

    def __init__(self, dim, heads, mlp_ratio, make_neuron, qkv_bias):
        super().__init__()
        self.attn = SpikingSelfAttention(dim, heads, make_neuron, qkv_bias)
        self.mlp = SpikingMLP(dim, int(dim * mlp_ratio), make_neuron)

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


@MODELS.register_module()
class Spikformer(SpikingBackbone):
    """Spikformer.

    Four stages can be tapped: the first three of the patch embedding (embed_dims / 8, / 4, / 2 channels) and the
    last block's output (embed_dims channels). Their strides are 1, 1, 2, 4 for the CIFAR form and 2, 4, 8, 16 for
    the ImageNet form. There is no positional table: any image size does.

    Args:
        embed_dims: width C of the blocks; Spikformer-L-C has L = depth of them.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP over embed_dims.
        form: 'cifar' or 'imagenet': the two published forms. They differ in the stages of the patch embedding that
            pool, and in Q, K and V having a bias ('cifar') or none.
        in_channels: channels of the input.
        **kwargs: T, neuron, out_indices, time, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head\.', None),
        (r'\.norm[12]\.', None),  # layer norms that the published blocks define and never call
        (r'^patch_embed\.rpe_(conv|bn)\.', r'position.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)\.', r'stages.0.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)(\d)\.', r'stages.\2.project.\1.'),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj|fc1|fc2)_(?:linear|conv)\.', r'.\1.conv.'),
        (r'\.(q|k|v|proj|fc1|fc2)_bn\.', r'.\1.bn.'),
    ]

    def __init__(self, embed_dims=384, depth=8, num_heads=12, mlp_ratio=4, form='imagenet', in_channels=3, **kwargs):
        super().__init__(**kwargs)
        if form not in POOLED:
            raise ConfigError(f'Spikformer: form must be one of {sorted(POOLED)}, got {form!r}')
        if embed_dims % 8:
            raise ConfigError(f'Spikformer: embed_dims must be divisible by 8, got {embed_dims}')
        widths = [embed_dims // 8, embed_dims // 4, embed_dims // 2, embed_dims]
        self.stages = nn.ModuleList(
            SpikingPatchStage(c_in, c_out, self.neuron(), pooled)
            for c_in, c_out, pooled in zip([in_channels, *widths], widths, POOLED[form]))
        self.position = SpikingPatchStage(embed_dims, embed_dims, self.neuron(), pooled=False)
        self.blocks = nn.ModuleList(
            SpikformerBlock(embed_dims, num_heads, mlp_ratio, self.neuron, qkv_bias=form == 'cifar')
            for _ in range(depth))
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name, value):
        # linear layers are 1x1 convolutions here, on (C, N)
        return value.reshape(*value.shape[:2], 1) if name.startswith('blocks.') and name.endswith('.conv.weight') \
            else value

    def forward_stages(self, x):
        x = self.stages[0].fire(encode(self.stages[0].project, x, self.T))
        yield x
        for stage in self.stages[1:3]:
            x = stage(x)
            yield x
        x = self.stages[3](x)
        x = x + self.position(x)
        size = x.shape[-2:]
        x = x.flatten(3)
        for block in self.blocks:
            x = block(x)
        yield x.unflatten(3, size)
