"""The convolutional network of PLIF, for event cameras (Fang et al., ICCV 2021)."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import TimeFolded, conv_bn, encode
from a2sg_zoo.registry import MODELS


class PooledLayer(nn.Module):
    """3x3 convolution, batch norm, neuron and max pooling: s = pool(fire(BN(conv(x)))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of s.
        neuron: layer of neurons.
    """

    def __init__(self, in_channels: int, out_channels: int, neuron: nn.Module):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        self.neuron = neuron
        self.pool = TimeFolded(nn.MaxPool2d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H / 2, W / 2)."""
        return self.fire(self.project(x))

    def fire(self, x: torch.Tensor) -> torch.Tensor:
        """Map the output of `project`, (T, B, C_out, H, W), to pooled spikes."""
        return self.pool(self.neuron(x))


@MODELS.register_module()
class CSNN(SpikingBackbone):
    """The VGG-like network of PLIF: stages of 3x3 convolution, batch norm, neuron and 2x2 max pooling.

    All stages can be returned (`out_indices`); their strides are 2, 4, 8, ... A maximum of spikes is a spike. The
    published classifier has two spiking layers with dropout, and ten neurons vote for each class: `VotingHead`. The
    published networks have 128 channels and 5 stages for DVS128 Gesture (128x128 pixels), 4 for CIFAR10-DVS and 2 for
    N-MNIST (34x34).

    Args:
        widths: channels of the stages.
        in_channels: channels of the input; an event camera has 2, one for each polarity.
        neuron: config of the neurons; the default is that of the published network.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Fang et al., ICCV 2021. Reference implementations:
    github.com/fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron, and SpikingJelly's `DVSGestureNet`.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import CSNN
        >>> backbone = CSNN(widths=(8, 8), T=3)
        >>> backbone(torch.rand(3, 2, 2, 16, 16))[0].shape  # frames (T, B, C, H, W)
        torch.Size([2, 8, 4, 4])
    """

    # SpikingJelly has one sequence of convolution, batch norm, neuron and pooling for each stage; PLIF has a weight w
    official_names = [
        (rf'^conv_fc\.{4 * i + k}\.', f'stages.{i}.{name}.')
        for i in range(5)
        for k, name in enumerate(('project.conv', 'project.bn', 'neuron'))
    ]

    def __init__(
        self,
        widths: Sequence[int] = (128, 128, 128, 128, 128),
        in_channels: int = 2,
        neuron: dict = dict(type='PLIF', tau=2.0, surrogate=dict(type='ATan', alpha=2.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if not widths:
            raise ConfigError('CSNN: widths is empty; give a number of channels for each stage')
        self.stages = nn.ModuleList(
            PooledLayer(c_in, c_out, self.neuron()) for c_in, c_out in zip([in_channels, *widths], widths)
        )
        self.tap(widths)

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`."""
        convs = [x for name, x in weights.items() if name.endswith('.project.conv.weight')]
        return dict(widths=[len(x) for x in convs], in_channels=convs[0].shape[1])

    @classmethod
    def from_official(cls, state_dict: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Convert the state dict of a network of SpikingJelly; its linear layers belong to the head."""
        stages = sum(x.dim() == 4 for x in state_dict.values())
        own = {
            name: x
            for name, x in state_dict.items()
            if (found := re.match(r'conv_fc\.(\d+)\.', name)) and int(found[1]) < 4 * stages
        }
        return super().from_official(own)[0], [name for name in state_dict if name not in own]

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of each stage."""
        first: Any = self.stages[0]
        x = first.fire(encode(first.project, x, T))
        yield x
        for stage in self.stages[1:]:
            x = self.run([stage], x)
            yield x
