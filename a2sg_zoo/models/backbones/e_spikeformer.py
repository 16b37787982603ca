"""E-SpikeFormer, the Spike-driven Transformer v3 (Yao et al., 2024): Meta-SpikeFormer with cheaper blocks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from a2sg_zoo.models.backbones.meta_spikeformer import ConvBlock, MetaSpikeFormer
from a2sg_zoo.models.layers import MembraneMLP, TransformerBlock, check_heads, conv_bn, spiking_attention
from a2sg_zoo.registry import MODELS


class SpikeSeparableConv(nn.Module):
    """Separable convolution, each layer of it fed by spikes, on (T, B, C, H, W).

        y = BN(pw2(fire(BN(dw(fire(BN(pw1(fire(x)))))))))

    pw1 is a 1x1 convolution from C to 2 C channels, dw a depthwise convolution, pw2 a 1x1 convolution back to C.

    Args:
        dim: channels C.
        make_neuron: returns a new layer of neurons.
        kernel_size: height and width of the depthwise kernel, in pixels.
    """

    def __init__(self, dim: int, make_neuron: Callable[..., nn.Module], kernel_size: int = 7):
        super().__init__()
        self.neuron1, self.expand = make_neuron(), conv_bn(dim, 2 * dim, 1)
        self.neuron2, self.depthwise = make_neuron(), conv_bn(2 * dim, 2 * dim, kernel_size, groups=2 * dim)
        self.neuron3, self.reduce = make_neuron(), conv_bn(2 * dim, dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        return self.reduce(self.neuron3(self.depthwise(self.neuron2(self.expand(self.neuron1(x))))))


class WideValueAttention(nn.Module):
    """Spiking attention between pixels with wide values, from potentials (T, B, C, H, W) to the same shape.

        s = fire(x),    Q = fire(BN(W_q s)), K and V alike,    y = BN(W fire(2 / sqrt(d) * Q K^T V))

    Values have `expansion` times as many channels as queries and keys. d is the number of channels of a head's queries.

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons.
        expansion: channels of the values, as a multiple of C.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module], expansion: int = 4):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), 2 * (dim // heads) ** -0.5
        self.neuron = make_neuron()
        self.q, self.k, self.v = conv_bn(dim, dim, 1), conv_bn(dim, dim, 1), conv_bn(dim, expansion * dim, 1)
        self.q_neuron, self.k_neuron, self.v_neuron, self.attn_neuron = (make_neuron() for _ in range(4))
        self.proj = conv_bn(expansion * dim, dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        s = self.neuron(x)
        q, k, v = (
            neuron(conv(s)).flatten(3)
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron), (self.v, self.v_neuron))
        )
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj(s.unflatten(3, x.shape[-2:]))


class ConvTransformerBlock(TransformerBlock):
    """Residual block of three parts: x' = x + conv(x), x'' = x' + attn(x'), y = x'' + mlp(x'').

    Args:
        conv: convolution, (T, B, C, H, W) to the same shape.
        attn: attention layer, likewise.
        mlp: multilayer perceptron, likewise.
    """

    def __init__(self, conv: nn.Module, attn: nn.Module, mlp: nn.Module):
        super().__init__(attn, mlp)
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C, H, W) to the same shape."""
        return super().forward(x + self.conv(x))


@MODELS.register_module()
class ESpikeFormer(MetaSpikeFormer):
    """E-SpikeFormer: Meta-SpikeFormer with integer neurons and cheaper blocks.

    The five stages are those of `MetaSpikeFormer`. All neurons are integer neurons (`ILIF`), which send a count of 0 to
    4 spikes in one time step of training; the count stands for the spikes of 4 time steps of inference. Every layer of
    a separable convolution is fed by spikes. Attention blocks begin with a separable convolution, and their attention
    has single 1x1 convolutions and wide values in place of `RepConv`s.

    Arguments, outputs and strides are those of `MetaSpikeFormer`; only the defaults of T and neuron differ. embed_dims
    [32, 64, 128, 192] is the network of 5 M parameters, [48, 96, 192, 240] that of 10 M, [64, 128, 256, 360] that of
    19 M.

    The published classifier averages over space, applies one more neuron, multiplies by its `levels` (it counts spikes
    there), and ends with a linear layer.

    Args:
        T: number of time steps; 1, because the integers stand for several.
        neuron: config of the neurons.
        **kwargs: arguments of `MetaSpikeFormer`.

    Source: Yao et al., 2024 (arXiv 2411.16061). Reference implementation:
    github.com/BICLab/Spike-Driven-Transformer-V3.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import ESpikeFormer
        >>> backbone = ESpikeFormer(embed_dims=[8, 8, 16, 16], depths=(1, 1), num_heads=2)
        >>> backbone(torch.rand(1, 3, 64, 64))[0].shape
        torch.Size([1, 16, 4, 4])
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

    def __init__(self, T: int = 1, neuron: dict = dict(type='ILIF', levels=4), **kwargs: Any):
        super().__init__(T=T, neuron=neuron, **kwargs)

    def conv_block(self, width: int, mlp_ratio: int) -> nn.Module:
        """Make a block of the first three stages, with `width` channels."""
        return ConvBlock(width, mlp_ratio, self.neuron, SpikeSeparableConv)

    def attention_block(self, width: int, num_heads: int, mlp_ratio: int) -> nn.Module:
        """Make a block of the last two stages, with `width` channels."""
        return ConvTransformerBlock(
            SpikeSeparableConv(width, self.neuron, kernel_size=3),
            WideValueAttention(width, num_heads, self.neuron),
            MembraneMLP(width, width * mlp_ratio, self.neuron),
        )
