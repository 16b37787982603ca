"""Meta-SpikeFormer, the Spike-driven Transformer v2 (Yao et al., ICLR 2024).

Convolutional blocks at high resolution, attention blocks at low; shortcuts carry membrane potentials, and every
convolution but the first is fed by spikes.

Reference implementation: github.com/BICLab/Spike-Driven-Transformer-V2.
"""

from collections import OrderedDict

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
)
from a2sg_zoo.registry import MODELS


class RepConv(Folded):
    """1x1 convolution, batch norm and padding, depthwise 3x3, 1x1, and two batch norms; re-parameterisable.

    The padding is one pixel of the value that a zero input normalises to, so the 1x1 convolution before and the 3x3 one
    after can be merged into one after training. It is not the norm's own work: a norm may be replaced by another kind,
    such as SyncBatchNorm, which only normalises.
    """

    def __init__(self, dim):
        super().__init__(
            OrderedDict(
                pw1=nn.Conv2d(dim, dim, 1, bias=False),
                pad=nn.BatchNorm2d(dim),
                dw=nn.Conv2d(dim, dim, 3, groups=dim, bias=False),
                pw2=nn.Conv2d(dim, dim, 1, bias=False),
                bn1=nn.BatchNorm2d(dim),
                bn2=nn.BatchNorm2d(dim),
            )
        )

    def image(self, x):
        y = self.pad(self.pw1(x))
        # when the norm is merged into it, the convolution pads
        if not isinstance(self.pad, nn.Identity):
            y = _bordered(y, self.pad)
        return self.bn2(self.bn1(self.pw2(self.dw(y))))


def _bordered(y, norm):
    """A batch norm's output y in a frame of what the running statistics make of zero."""
    border = (norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    B, C, H, W = y.shape
    padded = border.to(y.dtype).view(1, C, 1, 1).expand(B, C, H + 2, W + 2).clone()
    padded[:, :, 1:-1, 1:-1] = y
    return padded


class Downsample(nn.Module):
    """(Neuron,) strided convolution, batch norm."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, neuron=None):
        super().__init__()
        self.neuron = neuron
        self.project = conv_bn(in_channels, out_channels, kernel_size, stride, bias=True)

    def forward(self, x):
        return self.project(self.neuron(x))


class SeparableConv(nn.Module):
    """Neuron, 1x1 convolution to twice the width, neuron, depthwise 7x7 and 1x1 back."""

    def __init__(self, dim, make_neuron):
        super().__init__()
        self.neuron1, self.expand = make_neuron(), conv_bn(dim, 2 * dim, 1)
        self.neuron2 = make_neuron()
        self.reduce = Folded(
            OrderedDict(
                dw=nn.Conv2d(2 * dim, 2 * dim, 7, padding=3, groups=2 * dim, bias=False),
                pw=nn.Conv2d(2 * dim, dim, 1, bias=False),
                bn=nn.BatchNorm2d(dim),
            )
        )

    def forward(self, x):
        return self.reduce(self.neuron2(self.expand(self.neuron1(x))))


class ConvBlock(nn.Module):
    """x + mixer(x), then x + two 3x3 convolutions with mlp_ratio times the width between them."""

    def __init__(self, dim, mlp_ratio, make_neuron, mixer=SeparableConv):
        super().__init__()
        self.mixer = mixer(dim, make_neuron)
        self.neuron1, self.conv1 = make_neuron(), conv_bn(dim, dim * mlp_ratio)
        self.neuron2, self.conv2 = make_neuron(), conv_bn(dim * mlp_ratio, dim)

    def forward(self, x):
        x = x + self.mixer(x)
        return x + self.conv2(self.neuron2(self.conv1(self.neuron1(x))))


class SpikeDrivenAttention(nn.Module):
    """Neuron, Q, K, V by `RepConv` and neurons, spiking attention, neuron, `RepConv`. (T, B, C, H, W)."""

    def __init__(self, dim, heads, make_neuron, scale=0.125):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.neuron = make_neuron()
        self.q, self.k, self.v = (RepConv(dim) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = RepConv(dim)

    def forward(self, x):
        s = self.neuron(x)
        q, k, v = (
            neuron(conv(s)).flatten(3)
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron), (self.v, self.v_neuron))
        )
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj(s.unflatten(3, x.shape[-2:]))


@MODELS.register_module()
class MetaSpikeFormer(SpikingBackbone):
    """Meta-SpikeFormer.

    Five stages can be tapped, at strides 2, 4, 8, 16, 16 with embed_dims[0] / 2, embed_dims[0], [1], [2], [3]
    channels. Any image size does. Outputs are membrane potentials, not spikes.

    Args:
        embed_dims: widths of the four published stages; [64, 128, 256, 360] is the 15 M network, [96, 192, 384, 480]
            31 M, [128, 256, 512, 640] 55 M.
        depths: attention blocks of the last two stages.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLPs and convolutional blocks over their width.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head(_kd)?\.', None),
        (r'^downsample1_1\.', 'downs.0.'),
        (r'^downsample1_2\.', 'downs.1.'),
        (r'^downsample(\d)\.', r'downs.\1.'),
        (r'^ConvBlock1_1\.', 'stages.0.'),
        (r'^ConvBlock1_2\.', 'stages.1.'),
        (r'^ConvBlock2_1\.0\.', 'stages.2.0.'),
        (r'^ConvBlock2_2\.0\.', 'stages.2.1.'),
        (r'^block(\d)\.', r'stages.\1.'),
        (r'\.encode_(conv|bn)\.', r'.project.\1.'),
        (r'\.Conv\.pwconv1\.', '.mixer.expand.conv.'),
        (r'\.Conv\.bn1\.', '.mixer.expand.bn.'),
        (r'\.Conv\.dwconv\.', '.mixer.reduce.dw.'),
        (r'\.Conv\.pwconv2\.', '.mixer.reduce.pw.'),
        (r'\.Conv\.bn2\.', '.mixer.reduce.bn.'),
        (r'^(stages\.[012]\.\d)\.conv(\d)\.', r'\1.conv\2.conv.'),
        (r'^(stages\.[012]\.\d)\.bn(\d)\.', r'\1.conv\2.bn.'),
        (r'_conv\.0\.body\.0\.', '.pw1.'),
        (r'_conv\.0\.body\.1\.bn\.', '.pad.'),
        (r'_conv\.0\.body\.2\.0\.', '.dw.'),
        (r'_conv\.0\.body\.2\.1\.', '.pw2.'),
        (r'_conv\.0\.body\.2\.2\.', '.bn1.'),
        (r'_conv\.1\.', '.bn2.'),
        (r'\.(fc\d)_(conv|bn)\.', r'.\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims=(64, 128, 256, 360),
        depths=(6, 2),
        num_heads=8,
        mlp_ratio=4,
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if len(embed_dims) != 4 or len(depths) != 2:
            raise ConfigError(
                f'MetaSpikeFormer: embed_dims must have 4 widths and depths 2 numbers, got {embed_dims} and {depths}'
            )
        widths = [embed_dims[0] // 2, *embed_dims]
        self.downs = nn.ModuleList([Downsample(in_channels, widths[0], 7, 2)])
        for c_in, c_out, stride in zip(widths, widths[1:], (2, 2, 2, 1)):
            self.downs.append(Downsample(c_in, c_out, 3, stride, self.neuron()))
        self.stages = nn.ModuleList(
            nn.Sequential(*(self.conv_block(width, mlp_ratio) for _ in range(number)))
            for width, number in zip(widths, (1, 1, 2))
        )
        self.stages.extend(
            nn.Sequential(*(self.attention_block(width, num_heads, mlp_ratio) for _ in range(number)))
            for width, number in zip(widths[3:], depths)
        )
        self.tap(widths)

    def conv_block(self, width, mlp_ratio):
        """A block of the first three stages."""
        return ConvBlock(width, mlp_ratio, self.neuron)

    def attention_block(self, width, num_heads, mlp_ratio):
        """A block of the last two stages."""
        return TransformerBlock(
            SpikeDrivenAttention(width, num_heads, self.neuron), MembraneMLP(width, width * mlp_ratio, self.neuron)
        )

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not num_heads."""
        return dict(
            embed_dims=[len(weights[f'downs.{i}.project.bn.weight']) for i in range(1, 5)],
            depths=[count(weights, f'stages.{i}') for i in (3, 4)],
            mlp_ratio=len(weights['stages.0.0.conv1.bn.weight']) // len(weights['stages.0.0.conv2.bn.weight']),
            in_channels=weights['downs.0.project.conv.weight'].shape[1],
        )

    def forward_stages(self, x):
        x = encode(self.downs[0].project, x, self.T)
        for i, stage in enumerate(self.stages):
            x = self.run(stage, x if i == 0 else self.downs[i](x))
            yield x
