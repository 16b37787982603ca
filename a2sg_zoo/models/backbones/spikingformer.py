"""Spikingformer (Zhou et al., 2023): Spikformer with the neurons before the convolutions.

Shortcuts carry membrane potentials, so that every convolution but the first is fed by spikes, not by sums of them.

Reference implementation: github.com/zhouchenlin2096/Spikingformer.
"""

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    Folded,
    MembraneMLP,
    TransformerBlock,
    check_heads,
    conv_bn,
    encode,
    spiking_attention,
    token_bn,
)
from a2sg_zoo.registry import MODELS

POOLED = dict(cifar=(False, False, True, True), imagenet=(True, True, True, True))


class TokenizerStage(nn.Module):
    """Neuron, max pooling by 2 (if pooled), convolution, batch norm. (T, B, C, H, W)."""

    def __init__(self, in_channels, out_channels, neuron, pooled):
        super().__init__()
        self.neuron = neuron
        self.pool = Folded(nn.MaxPool2d(3, 2, 1)) if pooled else nn.Identity()
        self.project = conv_bn(in_channels, out_channels)

    def forward(self, x):
        return self.project(self.pool(self.neuron(x)))


class MembraneSelfAttention(nn.Module):
    """Neuron, Q, K, V with neurons, spiking attention, neuron, projection. Tokens (T, B, C, N) to the same."""

    def __init__(self, dim, heads, make_neuron, scale=0.125):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.neuron = make_neuron()
        self.q, self.k, self.v = (token_bn(dim, dim, bias=False) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)

    def forward(self, x):
        s = self.neuron(x)
        q, k, v = self.q_neuron(self.q(s)), self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        return self.proj(self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale)))


@MODELS.register_module()
class Spikingformer(SpikingBackbone):
    """Spikingformer.

    Four stages can be tapped: the first three of the tokenizer after its stem (embed_dims / 4, / 2, / 1 channels) and
    the last block's output (embed_dims channels). Their strides are 1, 1, 2, 4 for the CIFAR form and 2, 4, 8, 16 for
    the ImageNet form. Outputs are membrane potentials, not spikes. Any image size does.

    Args:
        embed_dims: width C of the blocks; Spikingformer-L-C has L = depth of them.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP over embed_dims.
        form: 'cifar' or 'imagenet': which stages of the tokenizer pool. The published network for event cameras is
            the ImageNet form, 2-256 with 16 heads, in_channels=2 and neurons of tau 1.5.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head\.', None),
        (r'\.norm[12]\.', None),  # layer norms that the published blocks define and never call
        # the published forms name the tokenizer's layers differently
        (r'^patch_embed\.(?:block0|proj)_(conv|bn)\.', r'stem.\1.'),
        *((rf'^patch_embed\.(?:block|proj){i + 1}_(conv|bn)\.', rf'stages.{i}.project.\1.') for i in range(4)),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj)_(conv|bn)\.', r'.\1.\2.'),
        (r'\.mlp(\d)_(conv|bn)\.', r'.fc\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims=384,
        depth=8,
        num_heads=12,
        mlp_ratio=4,
        form='imagenet',
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if form not in POOLED:
            raise ConfigError(f'Spikingformer: form must be one of {sorted(POOLED)}, got {form!r}')
        if embed_dims % 8:
            raise ConfigError(f'Spikingformer: embed_dims must be divisible by 8, got {embed_dims}')
        widths = [embed_dims // 4, embed_dims // 2, embed_dims, embed_dims]
        self.stem = conv_bn(in_channels, embed_dims // 8)
        self.stages = nn.ModuleList(
            TokenizerStage(c_in, c_out, self.neuron(), pooled)
            for c_in, c_out, pooled in zip([embed_dims // 8, *widths], widths, POOLED[form])
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(
                MembraneSelfAttention(embed_dims, num_heads, self.neuron),
                MembraneMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron),
            )
            for _ in range(depth)
        )
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name, value):
        # what is a 1x1 convolution on (C, H, W) there is one on (C, N) here
        return value.reshape(*value.shape[:2], 1) if '.mlp.' in name and name.endswith('.conv.weight') else value

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not num_heads, nor the form."""
        embed_dims = len(weights['stages.3.project.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=weights['stem.conv.weight'].shape[1],
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
        )

    def forward_stages(self, x):
        x = encode(self.stem, x, self.T)
        for stage in self.stages[:3]:
            x = self.run([stage], x)
            yield x
        x = self.run(self.stages[3:], x)
        size = x.shape[-2:]
        x = x.flatten(3)
        yield self.run(self.blocks, x).unflatten(3, size)
