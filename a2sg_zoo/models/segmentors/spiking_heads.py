"""The usual heads for semantic segmentation with spikes, or averages of spikes, at the input of every convolution.

MMSegmentation's heads of the same names without `Spiking` are their counterparts; those take features averaged over
time. The heads here take membrane potentials that keep their time axis, so the backbone needs `time='keep'`. They
average over time in front of the last layer, a 1x1 convolution that gives the logits of each pixel.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import conv_bn
from a2sg_zoo.models.segmentors.spiking_fpn import SpikingConv, resize
from a2sg_zoo.registry import MODELS, NEURONS
from a2sg_zoo.utils.checks import integer

_LIF = dict(type='LIF', tau=2.0)


def pooled(x: torch.Tensor, size: int) -> torch.Tensor:
    """Average x (T, B, C, H, W) over a grid of size x size cells, (T, B, C, size, size)."""
    return F.adaptive_avg_pool2d(x.flatten(0, 1), size).unflatten(0, x.shape[:2])


class PooledConv(nn.Module):
    """Neuron, average over a grid, 1x1 convolution and batch norm, enlarged to the size of the input.

    The average is of spikes: potentials after a batch norm have a mean near 0, and a neuron behind it would be silent.

    Args:
        size: cells along each side of the grid.
        in_channels: channels of x.
        out_channels: channels of u.
        neuron: config of the neurons.
    """

    def __init__(self, size: int, in_channels: int, out_channels: int, neuron: dict):
        super().__init__()
        self.size, self.neuron = size, NEURONS.build(neuron)
        self.project = conv_bn(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C_in, H, W) to potentials (T, B, C_out, H, W).

        Raises:
            ConfigError: in training, the batch norm gets one number a channel, of which there is no deviation.
        """
        if self.training and x.shape[0] * x.shape[1] * self.size**2 == 1:
            raise ConfigError(
                'the average over a picture has one number a channel in a batch of one with one time step, which '
                'a batch norm cannot train on; set train_dataloader.batch_size or model.backbone.T to 2 or more'
            )
        return resize(self.project(pooled(self.neuron(x), self.size)), x.shape[-2:], 'bilinear')


class PyramidPooling(nn.Module):
    """Averages of the spikes over grids of several sizes, projected, enlarged, and joined to the features.

    Args:
        pool_scales: cells along each side of the grids.
        in_channels: channels of x.
        channels: channels of each projected grid.
        neuron: config of the neurons.

    Source: Zhao et al., CVPR 2017, with neurons added here.
    """

    def __init__(self, pool_scales: Sequence[int], in_channels: int, channels: int, neuron: dict):
        super().__init__()
        self.grids = nn.ModuleList(PooledConv(scale, in_channels, channels, neuron) for scale in pool_scales)
        self.bottleneck = SpikingConv(in_channels + len(self.grids) * channels, channels, 3, neuron)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C_in, H, W) to potentials (T, B, C, H, W)."""
        return self.bottleneck(torch.cat([x, *(grid(x) for grid in self.grids)], 2))


@MODELS.register_module()
class SpikingFCNHead(BaseDecodeHead):
    """3x3 convolutions on one level, with a neuron before each.

    Args:
        num_convs: number of convolutions, at least 1.
        neuron: config of the neurons.
        **kwargs: in_channels, channels, num_classes, in_index, dropout_ratio and loss_decode, see MMSegmentation's
            `BaseDecodeHead`.

    Source: Long et al., CVPR 2015, with neurons added here.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.segmentors import SpikingFCNHead
        >>> head = SpikingFCNHead(in_channels=8, channels=4, num_classes=3)
        >>> head([torch.rand(2, 1, 8, 16, 16)]).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(self, num_convs: int = 2, neuron: dict = _LIF, **kwargs: Any):
        super().__init__(**kwargs)
        widths = [self.in_channels] + [self.channels] * integer('num_convs', num_convs, self)
        self.convs = nn.Sequential(*(SpikingConv(a, b, 3, neuron) for a, b in zip(widths, widths[1:])))

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the size of level `in_index`."""
        return self.cls_seg(self.convs(self._transform_inputs(inputs)).mean(0))


@MODELS.register_module()
class SpikingPSPHead(BaseDecodeHead):
    """Pyramid pooling on one level.

    Args:
        pool_scales: cells along each side of the grids.
        neuron: config of the neurons.
        **kwargs: see `SpikingFCNHead`.

    Source: Zhao et al., CVPR 2017, with neurons added here.
    """

    def __init__(self, pool_scales: Sequence[int] = (1, 2, 3, 6), neuron: dict = _LIF, **kwargs: Any):
        super().__init__(**kwargs)
        self.pyramid = PyramidPooling(pool_scales, self.in_channels, self.channels, neuron)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the size of level `in_index`."""
        return self.cls_seg(self.pyramid(self._transform_inputs(inputs)).mean(0))


@MODELS.register_module()
class SpikingASPPHead(BaseDecodeHead):
    """Dilated convolutions side by side on one level, and the mean of the picture (DeepLabV3).

    Args:
        dilations: distance of the values of each kernel, in pixels; the kernel of dilation 1 is 1x1.
        neuron: config of the neurons.
        **kwargs: see `SpikingFCNHead`.

    Source: Chen et al., arXiv 1706.05587, with neurons added here.
    """

    def __init__(self, dilations: Sequence[int] = (1, 6, 12, 18), neuron: dict = _LIF, **kwargs: Any):
        super().__init__(**kwargs)
        self.picture = PooledConv(1, self.in_channels, self.channels, neuron)
        self.branches = nn.ModuleList(
            SpikingConv(self.in_channels, self.channels, 1 if d == 1 else 3, neuron, dilation=d) for d in dilations
        )
        self.bottleneck = SpikingConv((len(self.branches) + 1) * self.channels, self.channels, 3, neuron)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the size of level `in_index`."""
        x = self._transform_inputs(inputs)
        levels = [self.picture(x), *(branch(x) for branch in self.branches)]
        return self.cls_seg(self.bottleneck(torch.cat(levels, 2)).mean(0))


@MODELS.register_module()
class SpikingSegformerHead(BaseDecodeHead):
    """A 1x1 convolution on each level; the levels are enlarged to the finest, joined, and mixed by a 1x1 convolution.

    Args:
        neuron: config of the neurons.
        **kwargs: see `SpikingFCNHead`; `in_channels` and `in_index` are lists, finest level first.

    Source: Xie et al., SegFormer, NeurIPS 2021, with neurons added here.
    """

    def __init__(self, neuron: dict = _LIF, **kwargs: Any):
        super().__init__(input_transform='multiple_select', **kwargs)
        self.laterals = nn.ModuleList(SpikingConv(c, self.channels, 1, neuron) for c in self.in_channels)
        self.fusion = SpikingConv(self.channels * len(self.laterals), self.channels, 1, neuron)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the finest level's size."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, self._transform_inputs(inputs))]
        return self.cls_seg(self.fusion(joined(levels)).mean(0))


@MODELS.register_module()
class SpikingUPerHead(BaseDecodeHead):
    """UPerNet's head: pyramid pooling on the coarsest level, a feature pyramid over all of them, and their mixture.

    Args:
        pool_scales: cells along each side of the grids of the pyramid pooling.
        neuron: config of the neurons.
        **kwargs: see `SpikingFCNHead`; `in_channels` and `in_index` are lists, finest level first.

    Source: Xiao et al., ECCV 2018, with neurons added here.
    """

    def __init__(self, pool_scales: Sequence[int] = (1, 2, 3, 6), neuron: dict = _LIF, **kwargs: Any):
        super().__init__(input_transform='multiple_select', **kwargs)
        *finer, coarsest = self.in_channels
        self.pyramid = PyramidPooling(pool_scales, coarsest, self.channels, neuron)
        self.laterals = nn.ModuleList(SpikingConv(c, self.channels, 1, neuron) for c in finer)
        self.outputs = nn.ModuleList(SpikingConv(self.channels, self.channels, 3, neuron) for _ in finer)
        self.fusion = SpikingConv(self.channels * len(self.in_channels), self.channels, 3, neuron)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the finest level's size."""
        *finer, coarsest = self._transform_inputs(inputs)
        levels = [lateral(x) for lateral, x in zip(self.laterals, finer)] + [self.pyramid(coarsest)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + resize(levels[i], levels[i - 1].shape[-2:], 'bilinear')
        levels = [output(x) for output, x in zip(self.outputs, levels)] + levels[-1:]
        return self.cls_seg(self.fusion(joined(levels)).mean(0))


def joined(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Enlarge the levels (T, B, C_i, H_i, W_i) to the size of the first, and join them along their channels."""
    finest = levels[0].shape[-2:]
    return torch.cat([x if x.shape[-2:] == finest else resize(x, finest, 'bilinear') for x in levels], 2)
