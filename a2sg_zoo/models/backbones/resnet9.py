"""A short spiking network for CIFAR that trains in little time: real-valued shortcuts or none, spikes elsewhere."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import SummedMaxPool2d, TimeFolded, conv_bn, encode
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer


class MembraneBlock(nn.Module):
    """One convolution, beside a shortcut or alone: y = BN(conv(fire(x))) [+ x], on currents (T, B, C, H, W).

    Args:
        channels: channels of x and y.
        make_neuron: returns a new layer of neurons.
        shortcut: whether x is added.
    """

    def __init__(self, channels: int, make_neuron: Callable[..., nn.Module], shortcut: bool):
        super().__init__()
        self.neuron, self.conv, self.shortcut = make_neuron(), conv_bn(channels, channels), shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map currents x to currents of the same shape."""
        y = self.conv(self.neuron(x))
        return y + x if self.shortcut else y


class PooledConvolution(nn.Sequential):
    """y = BN(maxpool(conv(s))), from spikes (T, B, C_in, H, W) to currents (T, B, C_out, H / 2, W / 2).

    Args:
        in_channels: channels of s.
        out_channels: channels of y.
        pool: 'step' or 'sum', see `SpikingResNet9`.
    """

    def __init__(self, in_channels: int, out_channels: int, pool: str):
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
                pool=SummedMaxPool2d(2) if pool == 'sum' else TimeFolded(nn.MaxPool2d(2)),
                bn=nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, s: torch.Tensor) -> torch.Tensor:
        """Map spikes to currents, see the class."""
        conv, pool, norm = self
        y = pool(conv(s.flatten(0, 1)).unflatten(0, s.shape[:2]))
        return norm(y.flatten(0, 1)).unflatten(0, s.shape[:2])


class MembraneTransition(nn.Module):
    """Halves height and width: y = BN(maxpool(conv(fire(x)))) [+ repeat(avgpool(x))], on currents.

    `repeat` copies the channels of x until there are as many as y has, so the shortcut has no parameters.

    Args:
        in_channels: channels of x.
        out_channels: channels of y; beside a shortcut, a multiple of `in_channels`.
        make_neuron: returns a new layer of neurons.
        shortcut: whether x is added.
        pool: 'step' or 'sum', see `SpikingResNet9`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, make_neuron: Callable[..., nn.Module], shortcut: bool, pool: str
    ):
        super().__init__()
        self.neuron, self.shortcut = make_neuron(), shortcut
        self.conv = PooledConvolution(in_channels, out_channels, pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map currents x (T, B, C_in, H, W) to currents (T, B, C_out, H / 2, W / 2)."""
        y = self.conv(self.neuron(x))
        if not self.shortcut:
            return y
        x = F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
        return y + torch.cat([x] * (y.shape[2] // x.shape[2]), 2)  # repeat would give up channels_last


@MODELS.register_module()
class SpikingResNet9(SpikingBackbone):
    """Residual network of one convolution a block, with shortcuts that add currents.

    The stem is a 3x3 convolution with fixed weights, which the hook `WhitenStem` sets so that its 9 * in_channels
    outputs are uncorrelated over the patches of the training images; then a learnt 1x1 convolution and batch norm. Each
    stage is a transition, which halves height and width, and blocks that keep both. All 3x3 convolutions but the
    stem's receive spikes. The shortcuts carry real-valued currents from the stem to the last layer, so gradients reach
    every layer also past the surrogate. The output is currents: use `LinearHead(spiking=True)`.

    Args:
        widths: channels of each stage; with shortcuts each is a multiple of the one before, the first of `stem`.
        depths: number of blocks of each stage after its transition, as many numbers as `widths`.
        stem: channels of the stem.
        in_channels: channels of the input.
        neuron: config of the neurons.
        shortcuts: whether the blocks have shortcuts; without them the network is a plain chain.
        pool: what a transition takes the largest of: 'step', the currents of each time step; 'sum', the sums of the
            currents so far, see `SummedMaxPool2d`. For networks that begin with weights trained at T = 1 the second is
            the right one: over all time steps it adds up to the same.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: the shortcuts are those of MS-ResNet (Hu et al., arXiv 2112.08954), one around each convolution as in
    Bi-Real Net (Liu et al., ECCV 2018), with the copied channels of ReActNet (Liu et al., ECCV 2020). The sizes and the
    whitened first layer follow the ResNet-9 of D. Page (DAWNBench 2018) and K. Jordan (arXiv 2404.00498).

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import SpikingResNet9
        >>> backbone = SpikingResNet9(widths=(16, 32), depths=(1, 0), stem=8, T=2, out_indices=(0, 1), time='keep')
        >>> [tuple(y.shape) for y in backbone(torch.rand(3, 3, 32, 32))]
        [(2, 3, 16, 16, 16), (2, 3, 32, 8, 8)]
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 256, 256),
        depths: Sequence[int] = (1, 1, 1),
        stem: int = 32,
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, decay_input=False, v_threshold=0.5),
        shortcuts: bool = True,
        pool: str = 'step',
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        for name, values, least in (('widths', widths, 1), ('depths', depths, 0), ('stem', [stem], 1)):
            for value in values:
                integer(name, value, self, least)
        if len(depths) != len(widths):
            raise ConfigError(
                f'SpikingResNet9: depths {depths} and widths {widths} must both have one number for each stage'
            )
        if pool not in ('step', 'sum'):
            raise ConfigError(f"SpikingResNet9: pool must be 'step' or 'sum', got {pool!r}")
        for before, after in zip([stem, *widths], widths):
            if shortcuts and after % before:
                raise ConfigError(
                    f'SpikingResNet9: widths {widths} after stem {stem}: {after} is no multiple of {before}'
                )
        patch = 9 * in_channels
        self.stem = TimeFolded(
            OrderedDict(
                whiten=nn.Conv2d(in_channels, patch, 3, padding=1, bias=False).requires_grad_(False),
                conv=nn.Conv2d(patch, stem, 1, bias=False),
                bn=nn.BatchNorm2d(stem),
            )
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                MembraneTransition(before, after, self.neuron, shortcuts, pool),
                *(MembraneBlock(after, self.neuron, shortcuts) for _ in range(depth)),
            )
            for before, after, depth in zip([stem, *widths], widths, depths)
        )
        self.tap(widths)

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the shapes of `weights`, {name: tensor}."""
        stages = range(count(weights, 'stages'))
        return dict(
            widths=[len(weights[f'stages.{i}.0.conv.bn.weight']) for i in stages],
            depths=[count(weights, f'stages.{i}') - 1 for i in stages],
            stem=len(weights['stem.bn.weight']),
            in_channels=weights['stem.whiten.weight'].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the currents (T, B, C, H, W) of each stage."""
        x = encode(self.stem, x, T)
        for stage in self.stages:
            x = self.run(stage, x)
            yield x
