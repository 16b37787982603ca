"""torchvision's feature pyramid network, with as many coarser levels as a detector needs."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer


class _CoarserLevels(ExtraFPNBlock):
    """Levels after the last one, each by a step of 2: subsampled, or by a 3x3 convolution as in RetinaNet."""

    def __init__(self, channels: int, number: int, kind: str):
        super().__init__()
        self.number = number
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(number if kind == 'conv' else 0)
        )
        for name, parameter in self.convs.named_parameters():
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_uniform_(parameter, a=1)

    def forward(self, results, x, names):
        for i in range(self.number):
            last = results[-1]
            if self.convs:
                last = self.convs[i](F.relu(last) if i else last)
            else:
                last = F.max_pool2d(last, 1, 2)
            results, names = [*results, last], [*names, f'extra{i}']
        return results, names


@MODELS.register_module()
class FeaturePyramid(FeaturePyramidNetwork):
    """Feature pyramid network of torchvision, on features averaged over time.

    A 1x1 convolution brings every level to the same number of channels. From the coarsest level to the finest, each
    level is enlarged and added to the next finer one. A 3x3 convolution then makes the output of each level. Coarser
    levels follow after the last one.

    Args:
        in_channels: channels of each level, finest first.
        out_channels: channels of each output.
        num_outs: number of outputs; by default that of the inputs.
        extra: how outputs beyond the inputs are made from the last one: 'pool' takes every second pixel (Faster
            R-CNN), 'conv' is a 3x3 convolution of stride 2 (RetinaNet, FCOS).

    Raises:
        ConfigError: `num_outs` is smaller than the number of inputs, or `extra` is another text.

    Source: Lin et al., CVPR 2017.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.necks import FeaturePyramid
        >>> neck = FeaturePyramid(in_channels=[8, 16], out_channels=12, num_outs=3)
        >>> [tuple(x.shape) for x in neck([torch.rand(1, 8, 16, 16), torch.rand(1, 16, 8, 8)])]
        [(1, 12, 16, 16), (1, 12, 8, 8), (1, 12, 4, 4)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int | None = None, extra: str = 'pool'):
        if extra not in ('pool', 'conv'):
            raise ConfigError(f"FeaturePyramid: extra must be 'pool' or 'conv', got {extra!r}")
        outs = len(in_channels) if num_outs is None else integer('num_outs', num_outs, self, len(in_channels))
        number = outs - len(in_channels)
        super().__init__(
            list(in_channels), out_channels, _CoarserLevels(out_channels, number, extra) if number else None
        )
        self.in_channels, self.out_channels = list(in_channels), [out_channels] * outs

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Map levels (B, in_channels[i], H_i, W_i), finest first, to (B, out_channels, H_i, W_i) and coarser ones."""
        return tuple(super().forward(OrderedDict((str(i), x) for i, x in enumerate(inputs))).values())
