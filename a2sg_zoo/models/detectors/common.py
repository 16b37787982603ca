"""What the detection heads share: the place of torchvision's backbone, anchors, and a check of their answers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from a2sg_zoo.errors import ConfigError, NonFiniteError
from a2sg_zoo.utils.checks import integer, number


class Absent(nn.Module):
    """Stands where torchvision's detectors want a backbone, of which they read the number of channels alone.

    Args:
        out_channels: channels of every level of the pyramid.
    """

    def __init__(self, out_channels: int):
        super().__init__()
        self.out_channels = out_channels


def make_anchors(
    sizes: Sequence[float], aspect_ratios: Sequence[float], owner: object, scales: int = 1
) -> AnchorGenerator:
    """Make anchors of every size and shape at every pixel of a pyramid.

    Args:
        sizes: side of the anchors of each level, in pixels of the input, finest level first.
        aspect_ratios: heights divided by widths.
        owner: head that takes them, for the messages.
        scales: sizes in each level: size * 2^(i / scales) for i = 0, ..., scales - 1.

    Raises:
        ConfigError: a size or ratio is not positive, or a list is empty.
    """
    integer('scales', scales, owner)
    for key, values in (('anchor_sizes', sizes), ('aspect_ratios', aspect_ratios)):
        if not isinstance(values, (list, tuple)) or not values:
            raise ConfigError(f'{type(owner).__name__}: {key} must be a list of numbers, got {values!r}')
        for value in values:
            if number(key, value, owner, 0) == 0:
                raise ConfigError(f'{type(owner).__name__}: {key} must be above 0, got {value!r}')
    return AnchorGenerator(
        tuple(tuple(size * 2 ** (i / scales) for i in range(scales)) for size in sizes),
        (tuple(aspect_ratios),) * len(sizes),
    )


def require_finite(outputs: torch.Tensor | Mapping | Iterable) -> None:
    """Raise NonFiniteError where an answer of a network has NaN or infinity, which would find nothing without a word.

    Args:
        outputs: a tensor, or dictionaries and sequences of them.
    """
    if isinstance(outputs, torch.Tensor):
        if not outputs.isfinite().all():
            raise NonFiniteError('the network answers with NaN or infinity')
        return
    for output in outputs.values() if isinstance(outputs, Mapping) else outputs:
        require_finite(output)


def check_predictions(module: nn.Module, args: Any, output: Any) -> None:
    """Check the answers of a part of a head in predictions: a forward hook. Training has a guard of its own."""
    if not torch.is_grad_enabled():
        require_finite(output)
