"""Spiking ResNet-18 and ResNet-19 for small images (Zheng et al., AAAI 2021; Deng et al., ICLR 2022)."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import conv_bn, encode
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer


class SpikingBlock(nn.Module):
    """Residual block: y = fire(BN(conv2(fire(BN(conv1(x))))) + shortcut(x)), on (T, B, C, H, W).

    The shortcut is the identity, or a 1x1 convolution and batch norm where the shapes of x and y differ.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        stride: step of the first convolution, in pixels.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, make_neuron: Callable[..., nn.Module]):
        super().__init__()
        self.conv1, self.neuron1 = conv_bn(in_channels, out_channels, 3, stride), make_neuron()
        self.conv2, self.neuron2 = conv_bn(out_channels, out_channels), make_neuron()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else conv_bn(in_channels, out_channels, 1, stride)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H / stride, W / stride)."""
        return self.neuron2(self.conv2(self.neuron1(self.conv1(x))) + self.shortcut(x))


@MODELS.register_module()
class SpikingResNet(SpikingBackbone):
    """Spiking ResNet for small images: a residual network with neurons in place of ReLUs.

    A 3x3 convolution of stride 1 (the stem) is followed by stages of `SpikingBlock`s. Every stage but the first halves
    height and width. A neuron fires after the addition at the end of each block, where a ReLU would stand, so the
    output of every stage is spikes (0 or 1). All stages can be returned (`out_indices`); their strides are 1, 2, 4, ...

    ResNet-18 is depths (2, 2, 2, 2) with widths (64, 128, 256, 512). ResNet-19, the default, is depths (3, 3, 2) with
    widths (128, 256, 512). Its published classifier averages the last stage over space and then has two linear layers
    with neurons between them (512 -> 256 -> classes); here they belong to the head (`LinearHead(hidden=256)`).

    Threshold-dependent batch norm (`tdbn`) scales currents with the threshold. The batch norm
    y = weight * (x - mean) / std + bias starts with weight = alpha * v_threshold in place of 1. alpha is 1, and
    1 / sqrt(2) for the two summands at the end of a block. The paper multiplies by this factor beside a weight that
    starts at 1. Both forms can learn the same functions.

    Args:
        depths: number of blocks of each stage.
        widths: channels of each stage, as many numbers as `depths`.
        stem: channels of the stem.
        tdbn: whether batch norms start threshold-dependent.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Zheng et al., AAAI 2021 (ResNet-19, tdBN); Deng et al., ICLR 2022. Reference implementation:
    github.com/Gus-Lab/temporal_efficient_training.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import SpikingResNet
        >>> backbone = SpikingResNet(depths=(1, 1), widths=(8, 16), stem=4, T=2, out_indices=(0, 1), time='keep')
        >>> [tuple(y.shape) for y in backbone(torch.rand(3, 3, 32, 32))]
        [(2, 3, 8, 32, 32), (2, 3, 16, 16, 16)]
    """

    official_names = [
        (r'^fc\d?(_s)?\.', None),
        # the published modules store their layers under two names and their batch norms under four
        (r'_s\.|\.seqbn\.', None),
        *((rf'^layer{i + 1}\.', f'stages.{i}.') for i in range(4)),
        (r'\.downsample\.layer\.module\.', '.shortcut.conv.'),
        (r'\.downsample\.bn\.bn\.', '.shortcut.bn.'),
        (r'^conv1\.', 'stem.conv.'),
        (r'^bn1\.bn\.', 'stem.bn.'),
        (r'\.conv([12])\.', r'.conv\1.conv.'),
        (r'\.bn([12])\.bn\.', r'.conv\1.bn.'),
    ]

    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 2),
        widths: Sequence[int] = (128, 256, 512),
        stem: int = 64,
        tdbn: bool = False,
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if len(depths) != len(widths):
            raise ConfigError(
                f'SpikingResNet: depths {depths} and widths {widths} must both have one number for each stage'
            )
        for depth in depths:
            integer('depths', depth, self)
        self.stem, self.stem_neuron = conv_bn(in_channels, stem), self.neuron()
        self.stages = nn.ModuleList()
        for i, (c_in, c_out, depth) in enumerate(zip([stem, *widths], widths, depths)):
            self.stages.append(
                nn.Sequential(
                    *(
                        SpikingBlock(c_in if j == 0 else c_out, c_out, 2 if i and j == 0 else 1, self.neuron)
                        for j in range(depth)
                    )
                )
            )
        if tdbn:
            self._scale_norms(self.stem_neuron.v_threshold)
        self.tap(widths)

    def _scale_norms(self, v_threshold):
        for name, module in self.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                alpha = 1 / math.sqrt(2) if '.conv2.' in name or '.shortcut.' in name else 1.0
                nn.init.constant_(module.weight, alpha * v_threshold)

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the shapes of `weights`, {name: tensor}."""
        stages = range(count(weights, 'stages'))
        return dict(
            depths=[count(weights, f'stages.{i}') for i in stages],
            widths=[len(weights[f'stages.{i}.0.conv1.bn.weight']) for i in stages],
            stem=len(weights['stem.bn.weight']),
            in_channels=weights['stem.conv.weight'].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the spikes (T, B, C, H, W) of each stage."""
        x = self.stem_neuron(encode(self.stem, x, T))
        for stage in self.stages:
            x = self.run(stage, x)
            yield x
