"""A feature pyramid and a semantic FPN head with spikes at the input of every convolution.

MMSegmentation's `FPN` and `FPNHead` are their counterparts without spikes; those take features averaged over time.
"""

from collections.abc import Sequence
from math import log2
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import conv_bn
from a2sg_zoo.registry import MODELS, NEURONS
from a2sg_zoo.utils.checks import integer


def resize(x: torch.Tensor, size: Sequence[int], mode: str) -> torch.Tensor:
    """Resize x (T, B, C, H, W) to (T, B, C, *size).

    Args:
        x: feature maps.
        size: new height and width, in pixels.
        mode: 'nearest' or 'bilinear'.
    """
    aligned = dict(align_corners=False) if mode == 'bilinear' else {}
    return F.interpolate(x.flatten(0, 1), tuple(size), mode=mode, **aligned).unflatten(0, x.shape[:2])


class SpikingConv(nn.Module):
    """Neuron, convolution and batch norm: u = BN(conv(fire(x))), on membrane potentials (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of u.
        kernel_size: height and width of the kernel, in pixels.
        neuron: config of the neurons.
        dilation: distance of the kernel's values, in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, neuron: dict, dilation: int = 1):
        super().__init__()
        self.neuron = NEURONS.build(neuron)
        self.project = conv_bn(in_channels, out_channels, kernel_size, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C_in, H, W) to potentials (T, B, C_out, H, W).

        Raises:
            ConfigError: x has no time axis.
        """
        if x.dim() != 5:
            raise ConfigError(
                f'a spiking neck or head takes features with a time axis, (T, B, C, H, W), got {tuple(x.shape)}; set '
                "model.backbone.time = 'keep'"
            )
        return self.project(self.neuron(x))


@MODELS.register_module()
class SpikingFPN(BaseModule):
    """Feature pyramid network with a neuron before each convolution.

    A 1x1 convolution brings every level to the same number of channels. From the coarsest level to the finest, each
    level is enlarged and added to the next finer one. A 3x3 convolution then makes the output of each level. Inputs and
    outputs are membrane potentials that keep their time axis, so the backbone needs `time='keep'`.

    Args:
        in_channels: channels of each level, finest first.
        out_channels: channels of each output.
        neuron: config of the neurons.
        init_cfg: MMEngine's config of the initial weights.
        num_outs: number of outputs; by default that of the inputs. Outputs beyond them are coarser levels for
            detectors: each takes every second pixel of the one before.

    Raises:
        ConfigError: `num_outs` is smaller than the number of inputs.

    Source: Lin et al., CVPR 2017, with neurons added here.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.segmentors import SpikingFPN
        >>> neck = SpikingFPN(in_channels=[8, 16], out_channels=12)
        >>> fine, coarse = neck([torch.rand(2, 1, 8, 16, 16), torch.rand(2, 1, 16, 8, 8)])
        >>> fine.shape, coarse.shape
        (torch.Size([2, 1, 12, 16, 16]), torch.Size([2, 1, 12, 8, 8]))
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        neuron: dict = dict(type='LIF', tau=2.0),
        init_cfg: dict | None = None,
        num_outs: int | None = None,
    ):
        super().__init__(init_cfg)
        outs = len(in_channels) if num_outs is None else integer('num_outs', num_outs, self, len(in_channels))
        self.in_channels, self.out_channels = list(in_channels), [out_channels] * outs
        self.lateral = nn.ModuleList(SpikingConv(c, out_channels, 1, neuron) for c in in_channels)
        self.output = nn.ModuleList(SpikingConv(out_channels, out_channels, 3, neuron) for _ in in_channels)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Map the levels (T, B, in_channels[i], H_i, W_i), finest first, to (T, B, out_channels, H_i, W_i)."""
        levels = [lateral(x) for lateral, x in zip(self.lateral, inputs)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + resize(levels[i], levels[i - 1].shape[-2:], 'nearest')
        outputs = [output(x) for output, x in zip(self.output, levels)]
        while len(outputs) < len(self.out_channels):
            outputs.append(outputs[-1][..., ::2, ::2])
        return tuple(outputs)


@MODELS.register_module()
class SpikingFPNHead(BaseDecodeHead):
    """Semantic FPN head with a neuron before each convolution.

    Each level passes 3x3 convolutions, and is enlarged by 2 after each of them until it has the size of the finest
    level. The levels are added and averaged over time, and a 1x1 convolution gives the logits of each pixel.

    Args:
        feature_strides: strides of the inputs, finest first; each is a power of 2 times the first.
        neuron: config of the neurons.
        **kwargs: in_channels, channels, num_classes, in_index, dropout_ratio and loss_decode, see MMSegmentation's
            `BaseDecodeHead`.

    Raises:
        ConfigError: `feature_strides` has no power of 2 times the first for each of `in_channels`.

    Source: Kirillov et al., CVPR 2019, with neurons added here.
    """

    def __init__(self, feature_strides: Sequence[int], neuron: dict = dict(type='LIF', tau=2.0), **kwargs: Any):
        super().__init__(input_transform='multiple_select', **kwargs)
        self.doublings = [max(0, round(log2(stride / feature_strides[0]))) for stride in feature_strides]
        powers = [feature_strides[0] * 2**doublings for doublings in self.doublings]
        if len(powers) != len(self.in_channels) or powers != list(feature_strides):
            raise ConfigError(
                f'SpikingFPNHead: feature_strides = {list(feature_strides)} must be a power of 2 times the first for '
                f'each of in_channels = {list(self.in_channels)}'
            )
        self.levels = nn.ModuleList()
        for doublings, c_in in zip(self.doublings, self.in_channels):
            widths = [c_in] + [self.channels] * max(1, doublings)
            self.levels.append(nn.ModuleList(SpikingConv(a, b, 3, neuron) for a, b in zip(widths, widths[1:])))

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the finest level's size."""
        inputs = [inputs[i] for i in self.in_index]
        finest = inputs[0].shape[-2:]
        total: Any = 0
        for x, convs, doublings in zip(inputs, self.levels, self.doublings):
            for conv in convs.children():
                x = conv(x)
                if doublings:
                    x = resize(x, (2 * x.shape[-2], 2 * x.shape[-1]), 'bilinear')
            # doubling does not restore an odd size exactly
            total = total + (x if x.shape[-2:] == finest else resize(x, finest, 'bilinear'))
        return self.cls_seg(total.mean(0))
