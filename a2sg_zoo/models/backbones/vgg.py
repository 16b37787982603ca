"""VGGSNN, the spiking VGG for event cameras (Deng et al., ICLR 2022)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import TimeFolded, conv_bn, encode
from a2sg_zoo.registry import MODELS


class VGGLayer(nn.Module):
    """3x3 convolution, batch norm and neuron: s = fire(BN(conv(x))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of s.
        stride: step of the convolution, in pixels.
        neuron: layer of neurons.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, neuron: nn.Module):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels, stride=stride, bias=True)
        nn.init.kaiming_normal_(self.project.get_parameter('conv.weight'), mode='fan_out', nonlinearity='relu')
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H / stride, W / stride)."""
        return self.neuron(self.project(x))


@MODELS.register_module()
class VGGSNN(SpikingBackbone):
    """Spiking VGG: stages of two 3x3 convolutions, each stage halves height and width.

    A convolution, a batch norm and a neuron make a layer, and two layers make a stage. With pool='avg' an average
    pooling ends the stage, so its output is averages of four spikes; with pool='stride' the second convolution has
    stride 2, and the output is spikes. All stages can be returned (`out_indices`); their strides are 2, 4, 8, 16.

    The published classifier is one linear layer on all values of the last output. Its images have 48x48 pixels, so the
    last output has 3x3 (`LinearHead(grid=3)`).

    The convolutions begin with weights of Kaiming's normal distribution (fan_out) and PyTorch's biases, as published.

    Args:
        widths: channels of the convolutions, two numbers for each stage.
        pool: 'avg' or 'stride', the two published forms.
        in_channels: channels of the input; an event camera has 2, one for each polarity.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Deng et al., ICLR 2022 (TET). Reference implementation:
    github.com/Gus-Lab/temporal_efficient_training.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import VGGSNN
        >>> backbone = VGGSNN(widths=(4, 4, 8, 8), T=3)
        >>> frames = torch.rand(3, 2, 2, 16, 16)  # (T, B, C, H, W)
        >>> backbone(frames)[0].shape
        torch.Size([2, 8, 4, 4])
    """

    official_names = [
        (r'^classifier\.', None),
        (r'\.fwd\.module\.0\.', '.project.conv.'),
        (r'\.fwd\.module\.1\.', '.project.bn.'),
    ]

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 256, 512, 512, 512, 512),
        pool: str = 'avg',
        in_channels: int = 2,
        neuron: dict = dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if pool not in ('avg', 'stride'):
            raise ConfigError(f"VGGSNN: pool must be 'avg' or 'stride', got {pool!r}")
        if len(widths) % 2:
            raise ConfigError(f'VGGSNN: widths must have two numbers for each stage, got {widths}')
        self.features = nn.ModuleList()
        self._ends: list[int] = []
        for i, (c_in, c_out) in enumerate(zip([in_channels, *widths], widths)):
            last = i % 2 == 1
            self.features.append(VGGLayer(c_in, c_out, 2 if last and pool == 'stride' else 1, self.neuron()))
            if last and pool == 'avg':
                self.features.append(TimeFolded(nn.AvgPool2d(2)))
            if last:
                self._ends.append(len(self.features) - 1)
        self.tap(widths[1::2])

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`."""
        convs = {int(name.split('.')[1]): x for name, x in weights.items() if name.endswith('.project.conv.weight')}
        return dict(
            widths=[len(convs[i]) for i in sorted(convs)],
            pool='stride' if 2 in convs else 'avg',
            in_channels=convs[0].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of each stage."""
        first: Any = self.features[0]
        x = first.neuron(encode(first.project, x, T))
        for i, layer in enumerate(self.features):
            x = self.run([layer], x) if i else x
            if i in self._ends:
                yield x
