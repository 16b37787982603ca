"""Heads that judge every pixel of a pyramid, with spikes at the input of every convolution but the last.

`RetinaNetHead` and `FCOSHead` are their counterparts without spikes; those take features averaged over time. The heads
here take membrane potentials that keep their time axis, so the backbone needs `time='keep'`, and the neck is
`SpikingFPN`. The firing rates, which are averages over time, go into the last layers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.detectors.dense_heads import DenseHead, FCOSHead, RetinaNetHead
from a2sg_zoo.models.layers import TimeFolded
from a2sg_zoo.registry import MODELS, NEURONS
from a2sg_zoo.utils.checks import integer

_LIF = dict(type='LIF', tau=2.0)


def jointly(layer: Callable[[torch.Tensor], torch.Tensor], levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Apply a layer to the pixels of all levels of a pyramid in one call.

    A batch norm then has one mean and one variance for all levels, and a search decides a neuron's widths once.

    Args:
        layer: maps pixels (T, B, C, N) to pixels of that shape, each by itself.
        levels: levels (T, B, C, H_i, W_i); N is the sum of H_i W_i.

    Returns:
        The levels, mapped.

    Example:
        >>> small, large = jointly(lambda x: x - x.max(), [torch.ones(1, 1, 1, 1, 1), torch.full((1, 1, 1, 2, 2), 3.0)])
        >>> small.item(), large.shape
        (-2.0, torch.Size([1, 1, 1, 2, 2]))
    """
    sizes = [x.shape[-2:] for x in levels]
    pixels = layer(torch.cat([x.flatten(3) for x in levels], 3))
    return [y.unflatten(3, size) for y, size in zip(pixels.split([size.numel() for size in sizes], 3), sizes)]


class SharedConv(nn.Module):
    """3x3 convolution, batch norm and neuron that all levels of a pyramid share: s = fire(BN(conv(x))).

    Args:
        channels: channels of the input and of the output.
        neuron: config of the neuron.
    """

    def __init__(self, channels: int, neuron: dict):
        super().__init__()
        self.conv = TimeFolded(nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        self.bn = TimeFolded(nn.BatchNorm1d(channels))
        self.neuron = NEURONS.build(neuron)

    def forward(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Map spikes (T, B, C, H_i, W_i) to spikes of the same shapes."""
        return jointly(lambda u: self.neuron(self.bn(u)), [self.conv(x) for x in levels])


class SpikingBranch(nn.Module):
    """A branch of a head of torchvision's, with spiking convolutions in place of those in front of its last layers.

    Args:
        branch: the branch, such as `torchvision.models.detection.retinanet.RetinaNetClassificationHead`.
        channels: channels of every level.
        num_convs: number of convolutions in front of the last layers.
        neuron: config of the neurons.
    """

    def __init__(self, branch: Any, channels: int, num_convs: int, neuron: dict):
        super().__init__()
        self.convs = nn.Sequential(*(SharedConv(channels, neuron) for _ in range(num_convs)))
        self.last = branch
        self.last.conv = nn.Sequential()

    def forward(self, levels: Sequence[torch.Tensor]) -> Any:
        """Map spikes (T, B, C, H_i, W_i) to what the branch gives for their rates after the convolutions."""
        return self.last([s.mean(0) for s in self.convs(levels)])

    def compute_loss(self, *args: Any) -> torch.Tensor:
        """Return the loss of the branch, see torchvision's."""
        return self.last.compute_loss(*args)


class _SpikingHead(DenseHead):
    takes_time = True

    def _make_spiking(self, in_channels: int, num_convs: int, neuron: dict) -> None:
        self.neuron = NEURONS.build(neuron)
        for name in ('classification_head', 'regression_head'):
            branch = SpikingBranch(getattr(self.head, name), in_channels, num_convs, neuron)
            setattr(self.head, name, branch)

    def enter(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Map potentials (T, B, C, H_i, W_i) to the spikes that both branches take."""
        if any(x.dim() != 5 for x in features):
            raise ConfigError(
                f'{type(self).__name__} takes features with a time axis, (T, B, C, H, W), got '
                f"{tuple(features[0].shape)}; set model.backbone.time = 'keep', and SpikingFPN as the neck"
            )
        return jointly(self.neuron, features)


@MODELS.register_module()
class SpikingRetinaNetHead(_SpikingHead, RetinaNetHead):
    """RetinaNet's head with neurons: one in front of the branches, and one after each of their convolutions.

        s_0 = fire_0(x),    s_n = fire_n(BN_n(conv_n(s_{n-1}))),    z = last(1/T sum_t s_N[t])

    Levels share convolutions, norms and neurons. Where neurons are ReLUs, there are no norms and T is 1, this is
    `RetinaNetHead` on features that are not negative.

    Args:
        in_channels: channels of every level.
        num_classes: number of classes of objects.
        num_convs: number N of convolutions of each branch.
        neuron: config of the neurons.
        **kwargs: see `RetinaNetHead`, without norm_groups.

    Raises:
        ConfigError: `norm_groups` is given, or the features have no time axis.

    Source: Lin et al., ICCV 2017, with batch norms and neurons added here.

    Example:
        >>> import torch
        >>> from torchvision.models.detection.image_list import ImageList
        >>> from a2sg_zoo.models.detectors import SpikingRetinaNetHead
        >>> head = SpikingRetinaNetHead(8, num_classes=3, anchor_sizes=[16, 32]).eval()
        >>> levels = [torch.rand(2, 1, 8, 8, 8), torch.rand(2, 1, 8, 4, 4)]  # (T, B, C, H, W)
        >>> (found,) = head(levels, ImageList(torch.rand(1, 3, 32, 32), [(32, 32)]))
        >>> sorted(found)
        ['boxes', 'labels', 'scores']
    """

    def __init__(
        self, in_channels: int, num_classes: int, num_convs: int = 4, neuron: dict = _LIF, **kwargs: Any
    ) -> None:
        if kwargs.get('norm_groups'):
            raise ConfigError(f'{type(self).__name__}: norm_groups is for RetinaNetHead; here, norms are batch norms')
        super().__init__(in_channels, num_classes, **kwargs)
        self._make_spiking(in_channels, integer('num_convs', num_convs, self), neuron)


@MODELS.register_module()
class SpikingFCOSHead(_SpikingHead, FCOSHead):
    """FCOS' head with neurons, as in `SpikingRetinaNetHead`, and with batch norms in place of group norms.

    Args:
        in_channels: channels of every level.
        num_classes: number of classes of objects.
        num_convs: number of convolutions of each branch.
        neuron: config of the neurons.
        **kwargs: see `FCOSHead`.

    Raises:
        ConfigError: the features have no time axis.

    Source: Tian et al., ICCV 2019, with batch norms and neurons added here.
    """

    def __init__(
        self, in_channels: int, num_classes: int, num_convs: int = 4, neuron: dict = _LIF, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, num_classes, num_convs=0, **kwargs)
        self._make_spiking(in_channels, integer('num_convs', num_convs, self), neuron)
