"""Meta-SpikeFormer, the Spike-driven Transformer v2 (Yao et al., ICLR 2024)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    MembraneMLP,
    TimeFolded,
    TransformerBlock,
    check_heads,
    conv_bn,
    encode,
    spiking_attention,
)
from a2sg_zoo.registry import MODELS


class RepConv(TimeFolded):
    """Re-parameterisable convolution: y = BN2(BN1(pw2(dw(pad(BN(pw1(x))))))), on (T, B, C, H, W).

    pw1 and pw2 are 1x1 convolutions, dw is a depthwise 3x3 convolution. All of it is linear in evaluation, so it can be
    merged into one 3x3 convolution after training. For this, the padding before dw is one pixel of the value that the
    batch norm gives for an input of zero. This class does the padding itself, not the batch norm, because the norm may
    be replaced by another kind, such as SyncBatchNorm, which only normalises.

    Args:
        dim: channels C of input and output.
    """

    pw1: nn.Conv2d
    pad: nn.Module
    dw: nn.Conv2d
    pw2: nn.Conv2d
    bn1: nn.Module
    bn2: nn.Module

    def __init__(self, dim: int):
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

    def image(self, x: torch.Tensor) -> torch.Tensor:
        """Map images x (B, C, H, W) to the same shape."""
        y = self.pad(self.pw1(x))
        # once `pad` is merged into `pw1` (see `fold_batch_norms`), that convolution pads
        if not isinstance(self.pad, nn.Identity):
            y = _add_border(y, self.pad)
        return self.bn2(self.bn1(self.pw2(self.dw(y))))


def _add_border(y, norm):
    """Pad a batch norm's output y by one pixel of its output for an input of zero, with running statistics."""
    border = (norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    B, C, H, W = y.shape
    padded = border.to(y.dtype).view(1, C, 1, 1).expand(B, C, H + 2, W + 2).clone()
    padded[:, :, 1:-1, 1:-1] = y
    return padded


class Downsample(nn.Module):
    """Neuron, strided convolution and batch norm: u = BN(conv(fire(x))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of u.
        kernel_size: height and width of the kernel, in pixels.
        stride: step of the convolution, in pixels.
        neuron: layer of neurons; None for the first layer, which takes images.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, neuron: nn.Module | None = None
    ):
        super().__init__()
        self.neuron = nn.Identity() if neuron is None else neuron
        self.project = conv_bn(in_channels, out_channels, kernel_size, stride, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C_in, H, W) to potentials (T, B, C_out, H / stride, W / stride)."""
        return self.project(self.neuron(x))


class SeparableConv(nn.Module):
    """Separable convolution: y = BN(pw2(dw(fire(BN(pw1(fire(x))))))), on (T, B, C, H, W).

    pw1 is a 1x1 convolution from C to 2 C channels, dw a depthwise 7x7 convolution, pw2 a 1x1 convolution back to C.

    Args:
        dim: channels C.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, dim: int, make_neuron: Callable[..., nn.Module]):
        super().__init__()
        self.neuron1, self.expand = make_neuron(), conv_bn(dim, 2 * dim, 1)
        self.neuron2 = make_neuron()
        self.reduce = TimeFolded(
            OrderedDict(
                dw=nn.Conv2d(2 * dim, 2 * dim, 7, padding=3, groups=2 * dim, bias=False),
                pw=nn.Conv2d(2 * dim, dim, 1, bias=False),
                bn=nn.BatchNorm2d(dim),
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        return self.reduce(self.neuron2(self.expand(self.neuron1(x))))


class ConvBlock(nn.Module):
    """Convolutional block: x' = x + mixer(x), then y = x' + BN(conv2(fire(BN(conv1(fire(x')))))).

    Args:
        dim: channels C of input and output.
        mlp_ratio: channels between the two 3x3 convolutions, as a multiple of C.
        make_neuron: returns a new layer of neurons.
        mixer: class of the first layer, called as `mixer(dim, make_neuron)`.
    """

    def __init__(
        self,
        dim: int,
        mlp_ratio: int,
        make_neuron: Callable[..., nn.Module],
        mixer: Callable[..., nn.Module] = SeparableConv,
    ):
        super().__init__()
        self.mixer = mixer(dim, make_neuron)
        self.neuron1, self.conv1 = make_neuron(), conv_bn(dim, dim * mlp_ratio)
        self.neuron2, self.conv2 = make_neuron(), conv_bn(dim * mlp_ratio, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        x = x + self.mixer(x)
        return x + self.conv2(self.neuron2(self.conv1(self.neuron1(x))))


class SpikeDrivenAttention(nn.Module):
    """Spiking attention between pixels, from membrane potentials (T, B, C, H, W) to the same shape.

        s = fire(x),    Q = fire(RepConv(s)), K and V alike,    y = RepConv(fire(scale * Q K^T V))

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
        scale: factor on the product.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module], scale: float = 0.125):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.neuron = make_neuron()
        self.q, self.k, self.v = (RepConv(dim) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = RepConv(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        s = self.neuron(x)
        q, k, v = (
            neuron(conv(s)).flatten(3)
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron), (self.v, self.v_neuron))
        )
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj(s.unflatten(3, x.shape[-2:]))


@MODELS.register_module()
class MetaSpikeFormer(SpikingBackbone):
    """Meta-SpikeFormer: convolutional blocks at high resolution, attention blocks at low resolution.

    A 7x7 convolution of stride 2 and five stages. The first three stages are `ConvBlock`s (one, one and two of them),
    the last two are transformer blocks with `SpikeDrivenAttention` between pixels. A strided convolution stands before
    each stage. Neurons stand before the convolutions, shortcuts carry membrane potentials, and every convolution but
    the first is fed by spikes. Images of any size can be used. It is the usual backbone for segmentation here.

    All five stages can be returned (`out_indices`), with embed_dims[0] / 2, embed_dims[0], embed_dims[1],
    embed_dims[2] and embed_dims[3] channels. Their strides are 2, 4, 8, 16, 16. Outputs are membrane potentials, not
    spikes.

    Args:
        embed_dims: channels of the last four stages. [64, 128, 256, 360] is the network of 15 M parameters,
            [96, 192, 384, 480] that of 31 M, [128, 256, 512, 640] that of 55 M.
        depths: number of attention blocks of the last two stages.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of perceptrons and convolutional blocks, as a multiple of their channels.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Yao et al., ICLR 2024. Reference implementation: github.com/BICLab/Spike-Driven-Transformer-V2.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import MetaSpikeFormer
        >>> backbone = MetaSpikeFormer([8, 8, 16, 16], depths=(1, 1), num_heads=2, T=2, out_indices=(1, 2, 3, 4))
        >>> [tuple(y.shape) for y in backbone(torch.rand(1, 3, 64, 64))]
        [(1, 8, 16, 16), (1, 8, 8, 8), (1, 16, 4, 4), (1, 16, 4, 4)]
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
        embed_dims: Sequence[int] = (64, 128, 256, 360),
        depths: Sequence[int] = (6, 2),
        num_heads: int = 8,
        mlp_ratio: int = 4,
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs: Any,
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

    def conv_block(self, width: int, mlp_ratio: int) -> nn.Module:
        """Make a block of the first three stages, with `width` channels."""
        return ConvBlock(width, mlp_ratio, self.neuron)

    def attention_block(self, width: int, num_heads: int, mlp_ratio: int) -> nn.Module:
        """Make a block of the last two stages, with `width` channels."""
        return TransformerBlock(
            SpikeDrivenAttention(width, num_heads, self.neuron), MembraneMLP(width, width * mlp_ratio, self.neuron)
        )

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`; not num_heads."""
        return dict(
            embed_dims=[len(weights[f'downs.{i}.project.bn.weight']) for i in range(1, 5)],
            depths=[count(weights, f'stages.{i}') for i in (3, 4)],
            mlp_ratio=len(weights['stages.0.0.conv1.bn.weight']) // len(weights['stages.0.0.conv2.bn.weight']),
            in_channels=weights['downs.0.project.conv.weight'].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the membrane potentials (T, B, C, H, W) of each stage."""
        first: Any = self.downs[0]
        x = encode(first.project, x, T)
        for i, stage in enumerate(self.stages):
            x = self.run(stage, x if i == 0 else self.downs[i](x))
            yield x
