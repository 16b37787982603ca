"""E-SpikeFormer, the Spike-driven Transformer v3 (Yao et al., 2024): Meta-SpikeFormer with cheaper blocks.

Attention blocks gain a separable convolution and attend with single 1x1 convolutions and wider values; all neurons
are integer ones.

Reference implementation: github.com/BICLab/Spike-Driven-Transformer-V3.
"""

from torch import nn

from a2sg_zoo.models.backbones.meta_spikeformer import ConvBlock, MetaSpikeFormer
from a2sg_zoo.models.layers import MembraneMLP, TransformerBlock, check_heads, conv_bn, spiking_attention
from a2sg_zoo.registry import MODELS


class SpikeSeparableConv(nn.Module):
    """1x1 convolution to twice the width, depthwise convolution, 1x1 back: each fed by a neuron. (T, B, C, H, W)."""

    def __init__(self, dim, make_neuron, kernel_size=7):
        super().__init__()
        self.neuron1, self.expand = make_neuron(), conv_bn(dim, 2 * dim, 1)
        self.neuron2, self.depthwise = make_neuron(), conv_bn(2 * dim, 2 * dim, kernel_size, groups=2 * dim)
        self.neuron3, self.reduce = make_neuron(), conv_bn(2 * dim, dim, 1)

    def forward(self, x):
        return self.reduce(self.neuron3(self.depthwise(self.neuron2(self.expand(self.neuron1(x))))))


class WideValueAttention(nn.Module):
    """Spiking attention with values, and so a result, of `expansion` times the width. (T, B, C, H, W) to the same.

    It is scaled by 2 / sqrt(d), d the channels of a head's queries.
    """

    def __init__(self, dim, heads, make_neuron, expansion=4):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), 2 * (dim // heads) ** -0.5
        self.neuron = make_neuron()
        self.q, self.k, self.v = conv_bn(dim, dim, 1), conv_bn(dim, dim, 1), conv_bn(dim, expansion * dim, 1)
        self.q_neuron, self.k_neuron, self.v_neuron, self.attn_neuron = (make_neuron() for _ in range(4))
        self.proj = conv_bn(expansion * dim, dim, 1)

    def forward(self, x):
        s = self.neuron(x)
        q, k, v = (
            neuron(conv(s)).flatten(3)
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron), (self.v, self.v_neuron))
        )
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj(s.unflatten(3, x.shape[-2:]))


class ConvTransformerBlock(TransformerBlock):
    """x + conv(x), then x + attn(x), then x + mlp(x)."""

    def __init__(self, conv, attn, mlp):
        super().__init__(attn, mlp)
        self.conv = conv

    def forward(self, x):
        return super().forward(x + self.conv(x))


@MODELS.register_module()
class ESpikeFormer(MetaSpikeFormer):
    """E-SpikeFormer.

    Stages and arguments are those of `MetaSpikeFormer`, but for the defaults of T and neuron: integer neurons with up
    to 4 spikes, which stand for 4 time steps of inference, in a single step of training. embed_dims
    [32, 64, 128, 192] is the 5 M network, [48, 96, 192, 240] 10 M, [64, 128, 256, 360] 19 M.

    The published classifier averages over space, applies one more neuron and multiplies by its `levels` (it counts
    spikes there), then has a linear layer.

    Source: arXiv 2411.16061.
    """

    official_names = [
        (r'(\.Conv|^block\d\.\d+\.conv)\.pwconv1\.0\.', r'\1.expand.conv.'),
        (r'(\.Conv|^block\d\.\d+\.conv)\.pwconv1\.1\.', r'\1.expand.bn.'),
        (r'(\.Conv|^block\d\.\d+\.conv)\.dwconv\.0\.', r'\1.depthwise.conv.'),
        (r'(\.Conv|^block\d\.\d+\.conv)\.dwconv\.1\.', r'\1.depthwise.bn.'),
        (r'(\.Conv|^block\d\.\d+\.conv)\.pwconv2\.0\.', r'\1.reduce.conv.'),
        (r'(\.Conv|^block\d\.\d+\.conv)\.pwconv2\.1\.', r'\1.reduce.bn.'),
        (r'\.Conv\.', '.mixer.'),
        (r'\.(q|k|v|proj)_conv\.0\.', r'.\1.conv.'),
        (r'\.(q|k|v|proj)_conv\.1\.', r'.\1.bn.'),
        *MetaSpikeFormer.official_names,
    ]

    def __init__(self, T=1, neuron=dict(type='ILIF', levels=4), **kwargs):
        super().__init__(T=T, neuron=neuron, **kwargs)

    def conv_block(self, width, mlp_ratio):
        return ConvBlock(width, mlp_ratio, self.neuron, SpikeSeparableConv)

    def attention_block(self, width, num_heads, mlp_ratio):
        return ConvTransformerBlock(
            SpikeSeparableConv(width, self.neuron, kernel_size=3),
            WideValueAttention(width, num_heads, self.neuron),
            MembraneMLP(width, width * mlp_ratio, self.neuron),
        )
