"""SEW-ResNet (Fang et al., NeurIPS 2021): residual blocks that combine spikes element by element."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import TimeFolded, conv_bn, encode
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer

# g(s, x): s are the spikes of the residual branch, x is the shortcut
CONNECT = dict(ADD=lambda s, x: s + x, AND=lambda s, x: s * x, IAND=lambda s, x: (1 - s) * x)
EXPANSION = dict(basic=1, bottleneck=4)


class SpikingLayer(nn.Module):
    """Convolution, batch norm and neuron: s = fire(BN(conv(x))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of s.
        kernel_size: height and width of the kernel, in pixels.
        stride: step of the convolution, in pixels.
        neuron: layer of neurons.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, neuron: nn.Module):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels, kernel_size, stride)
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H / stride, W / stride)."""
        return self.neuron(self.project(x))


class SEWBlock(nn.Module):
    """Residual block y = g(layers(x), shortcut(x)), on (T, B, C, H, W).

    Both arguments of g are spikes, or sums of spikes. `layers` are two or three `SpikingLayer`s. The shortcut is the
    identity, or a 1x1 `SpikingLayer` where the shapes of x and y differ.

    Args:
        in_channels: channels of x.
        width: channels of the 3x3 layers; y has `EXPANSION[block]` times as many.
        stride: step of the block, in pixels.
        block: 'basic' (3x3, 3x3) or 'bottleneck' (1x1, 3x3, 1x1).
        connect: name of g, see `SEWResNet`.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(
        self, in_channels: int, width: int, stride: int, block: str, connect: str, make_neuron: Callable[..., nn.Module]
    ):
        super().__init__()
        out_channels = width * EXPANSION[block]
        # (kernel size, channels, stride) of each layer
        layers = (
            [(3, width, stride), (3, width, 1)]
            if block == 'basic'
            else [(1, width, 1), (3, width, stride), (1, out_channels, 1)]
        )
        self.layers = nn.Sequential()
        channels = in_channels
        for kernel_size, c_out, s in layers:
            self.layers.append(SpikingLayer(channels, c_out, kernel_size, s, make_neuron()))
            channels = c_out
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else SpikingLayer(in_channels, out_channels, 1, stride, make_neuron())
        )
        self.connect = CONNECT[connect]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to y (T, B, C_out, H / stride, W / stride)."""
        return self.connect(self.layers(x), self.shortcut(x))


@MODELS.register_module()
class SEWResNet(SpikingBackbone):
    """Spike-element-wise ResNet: a residual network with neurons before the addition of a block, not after it.

    The stem is a 7x7 convolution of stride 2, a neuron and a max pooling of stride 2. Four stages of `SEWBlock`s
    follow. Every layer of a block fires, and a function g joins the spikes s of the block with its shortcut x:

        ADD: s + x        AND: s * x        IAND: (1 - s) * x

    All four stages can be returned (`out_indices`); their strides are 4, 8, 16, 32. Their outputs are spikes for AND
    and IAND, and sums of spikes (0, 1, 2, ...) for ADD.

    Args:
        depths: number of blocks of each stage. With basic blocks, (2, 2, 2, 2) is SEW-ResNet-18 and (3, 4, 6, 3) is
            SEW-ResNet-34. With bottlenecks, (3, 4, 6, 3) is 50, (3, 4, 23, 3) is 101 and (3, 8, 36, 3) is 152.
        widths: width of each stage. The output of a stage has as many channels, or four times as many for bottlenecks.
            The stem has widths[0] channels.
        block: 'basic' or 'bottleneck'.
        connect: name of g: 'ADD', 'AND' or 'IAND'.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is the paper's.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Fang et al., NeurIPS 2021. Reference implementation:
    github.com/fangwei123456/Spike-Element-Wise-ResNet.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import SEWResNet
        >>> backbone = SEWResNet(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), T=2)
        >>> backbone(torch.rand(3, 3, 64, 64))[0].shape
        torch.Size([3, 16, 2, 2])
    """

    official_names = [
        (r'^fc\.', None),
        (r'\.module\.', '.'),  # some versions of SpikingJelly have this in the names of their layers
        (r'^conv1\.', 'stem.conv.'),
        (r'^bn1\.', 'stem.bn.'),
        *((rf'^layer{i + 1}\.', f'stages.{i}.') for i in range(4)),
        (r'\.downsample\.0\.', '.shortcut.'),
        *((rf'\.conv{i + 1}\.', f'.layers.{i}.') for i in range(3)),
        (r'^(stages\..*)\.0\.(\w+)$', r'\1.project.conv.\2'),
        (r'^(stages\..*)\.1\.(\w+)$', r'\1.project.bn.\2'),
    ]

    def __init__(
        self,
        depths: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        block: str = 'basic',
        connect: str = 'ADD',
        in_channels: int = 3,
        neuron: dict = dict(type='IF', surrogate=dict(type='ATan', alpha=2.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if len(depths) != 4 or len(widths) != 4:
            raise ConfigError(f'SEWResNet: depths and widths must have 4 numbers, got {depths} and {widths}')
        for depth in depths:
            integer('depths', depth, self)
        for name, value, known in (('block', block, EXPANSION), ('connect', connect, CONNECT)):
            if value not in known:
                raise ConfigError(f'SEWResNet: {name} must be one of {sorted(known)}, got {value!r}')
        self.stem, self.stem_neuron = conv_bn(in_channels, widths[0], 7, 2), self.neuron()
        self.pool = TimeFolded(nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList()
        channels = widths[0]
        for i, (depth, width) in enumerate(zip(depths, widths)):
            stage = nn.Sequential()
            for j in range(depth):
                stage.append(SEWBlock(channels, width, 2 if i and j == 0 else 1, block, connect, self.neuron))
                channels = width * EXPANSION[block]
            self.stages.append(stage)
        self.tap([width * EXPANSION[block] for width in widths])

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the shapes of `weights`; `connect` does not."""
        return dict(
            depths=[count(weights, f'stages.{i}') for i in range(4)],
            widths=[len(weights[f'stages.{i}.0.layers.0.project.bn.weight']) for i in range(4)],
            block='bottleneck' if count(weights, 'stages.0.0.layers') == 3 else 'basic',
            in_channels=weights['stem.conv.weight'].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of each stage."""
        x = self.pool(self.stem_neuron(encode(self.stem, x, T)))
        for stage in self.stages:
            x = self.run(stage, x)
            yield x
