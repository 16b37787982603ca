"""Augmentation of whole batches of small images, uint8 (B, 3, H, W). Each image has its own random numbers.

A transform is called with the images and a `Draws`, and returns new images. A loop over images in Python would take
longer than the arithmetic. The images may be on any device. The random numbers are drawn on the host, so they are the
same for every device, and a copy of them follows the images without a stop of the host.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import TRANSFORMS
from a2sg_zoo.utils.checks import integer, number, positive

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draws:
    """Random numbers for a batch. Those of a sample depend on its seed alone, not on the other samples.

    Each sample has a SplitMix64 generator, and all of them step at once. The samplers give well-mixed seeds, so the
    streams are independent.

    Args:
        seeds: a non-negative integer below 2**64 for each sample.
        indices: position of each sample in the data set, for transforms that follow a sample over the epochs.
        visits: number of the pass over the data set for each sample, from 0.

    Source: Steele, Lea and Flood, OOPSLA 2014.

    >>> draws = Draws([7, 8, 7])
    >>> first, second, third = draws.uniform().tolist()
    >>> first == third, first == second
    (True, False)
    """

    def __init__(
        self, seeds: Sequence[int], indices: Sequence[int] | None = None, visits: Sequence[int] | None = None
    ) -> None:
        self._state = np.array(seeds, np.uint64)
        self.indices = None if indices is None else np.array(indices, np.uint64)
        self.visits = None if visits is None else np.array(visits, np.uint64)

    def uniform(self) -> Tensor:
        """Draws a number in [0, 1) for each sample: float64 tensor (B,)."""
        self._state = self._state + _GOLDEN
        return torch.from_numpy((_hash(self._state) >> np.uint64(11)) * 2.0**-53)

    def normal(self) -> Tensor:
        """Draws a standard normal number for each sample: float64 tensor (B,)."""
        radius = (-2 * torch.log1p(-self.uniform())).sqrt()
        return radius * torch.cos(2 * math.pi * self.uniform())

    def integers(self, n: int) -> Tensor:
        """Draws an integer in 0..n-1 for each sample: int64 tensor (B,)."""
        return (self.uniform() * n).long()

    def events(self, probability: float) -> Tensor:
        """Draws True with a probability for each sample: bool tensor (B,)."""
        return self.uniform() < probability


def _hash(z: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64, on uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def to_device_of(images: Tensor, tensor: Tensor) -> Tensor:
    """Returns a tensor of the host on the device of images; the host does not wait for the copy.

    Args:
        images: decide the device.
        tensor: small tensor on the host.
    """
    return tensor.to(images.device, non_blocking=True)


@TRANSFORMS.register_module()
class BatchCrop:
    """Pads every side with zeros, and crops the original size at a random place.

    Args:
        padding: pixels on each side.

    Raises:
        ConfigError: `padding` is no integer, or negative.
    """

    any_device = True

    def __init__(self, padding: int = 4) -> None:
        self.padding = integer('padding', padding, self, 0)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        top, left = (to_device_of(images, draws.integers(2 * self.padding + 1)) for _ in range(2))
        height, width = images.shape[2:]
        windows = F.pad(images, [self.padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(len(images), device=images.device), :, top, left]


@TRANSFORMS.register_module()
class BatchFlip:
    """Mirrors images left to right, at random or in turn.

    Args:
        prob: probability for each image.
        alternate: mirror in every second pass over the data set. The first pass mirrors a random half of the images,
            the second pass the other half, and so on: two passes show each image both ways. `prob` must be 0.5.

    Raises:
        ConfigError: `prob` is no probability, or `alternate` comes with another `prob` or without a sampler that counts
            visits.

    Source: K. Jordan, arXiv 2404.00498 (flips in turn).
    """

    any_device = True

    def __init__(self, prob: float = 0.5, alternate: bool = False) -> None:
        if alternate and prob != 0.5:
            raise ConfigError(f'BatchFlip: alternate=True mirrors half of the images, but prob = {prob!r}')
        self.prob, self.alternate = number('prob', prob, self, 0, 1), alternate

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        flipped = self._in_turn(draws) if self.alternate else draws.events(self.prob)
        return torch.where(to_device_of(images, flipped).view(-1, 1, 1, 1), images.flip(3), images)

    def _in_turn(self, draws: Draws) -> Tensor:
        if draws.indices is None or draws.visits is None:
            raise ConfigError(
                'BatchFlip: alternate=True needs a sampler that counts visits, such as ResumableSampler, and no Subset '
                'or ConcatDataset around the data set'
            )
        first = _hash((draws.indices + np.uint64(1)) * _GOLDEN)
        return torch.from_numpy((first + draws.visits) % np.uint64(2) == 1)


@TRANSFORMS.register_module()
class BatchCutout:
    """Fills a square. Its centre lies anywhere in the image, so a part of it may lie outside.

    Args:
        size: side of the square in pixels.
        prob: probability for each image.
        fill: value of each channel, or one for all; the mean of the data becomes zero after normalisation, as
            published.

    Raises:
        ConfigError: an argument is out of its range, or `fill` does not fit the channels of the images.

    Source: DeVries and Taylor, arXiv 1708.04552.
    """

    any_device = True

    def __init__(self, size: int = 16, prob: float = 1.0, fill: Sequence[float] = (0,)) -> None:
        self.size, self.prob = integer('size', size, self), number('prob', prob, self, 0, 1)
        self.fill = torch.tensor(checked_fill(fill, self)).round().byte().view(-1, 1, 1)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        check_channels('fill', self.fill, images, self)
        chosen = draws.events(self.prob)
        rows, columns = (self._covered(draws.integers(n), n) for n in images.shape[2:])
        return _filled(images, rows & chosen[:, None], columns, self.fill)

    def _covered(self, centre: Tensor, n: int) -> Tensor:
        start = centre[:, None] - self.size // 2
        return (torch.arange(n) >= start) & (torch.arange(n) < start + self.size)


@TRANSFORMS.register_module()
class BatchErasing:
    """Fills a rectangle of random size, shape and place.

    Area and shape are drawn until the rectangle fits, at most ten times; otherwise the image stays unchanged.

    Args:
        prob: probability for each image.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest height over width, drawn evenly on a logarithmic scale.
        fill: value of each channel, or one for all; the mean of the data becomes zero after normalisation ("const").

    Raises:
        ConfigError: an argument is out of its range, or `fill` does not fit the channels of the images.

    Source: Zhong et al., AAAI 2020.
    """

    any_device = True
    _attempts = 10

    def __init__(
        self,
        prob: float = 0.25,
        scale: tuple[float, float] = (0.02, 1 / 3),
        ratio: tuple[float, float] = (0.3, 10 / 3),
        fill: Sequence[float] = (0,),
    ) -> None:
        self.prob = number('prob', prob, self, 0, 1)
        self.scale, self.ratio = _checked_range('scale', scale, self, 1), _checked_range('ratio', ratio, self)
        self.fill = torch.tensor(checked_fill(fill, self)).round().byte().view(-1, 1, 1)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        check_channels('fill', self.fill, images, self)
        height, width = images.shape[2:]
        chosen = draws.events(self.prob)
        h, w = torch.zeros(2, len(images), dtype=torch.long)
        for _ in range(self._attempts):
            area = height * width * _between(self.scale, draws.uniform())
            ratio = _between([math.log(r) for r in self.ratio], draws.uniform()).exp()
            new_h, new_w = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
            better = (h == 0) & (new_h < height) & (new_w < width)
            h, w = torch.where(better, new_h, h), torch.where(better, new_w, w)
        rows, columns = (self._covered(size, n, draws.uniform()) for size, n in ((h, height), (w, width)))
        return _filled(images, rows & chosen[:, None], columns, self.fill)

    def _covered(self, size: Tensor, n: int, place: Tensor) -> Tensor:
        start = (place * (n - size + 1)).long()[:, None]
        return (torch.arange(n) >= start) & (torch.arange(n) < start + size[:, None])


def checked_fill(fill: Any, owner: object) -> list[float]:
    """Returns the values of `fill`, or raises a ConfigError if one is no value of a pixel.

    Args:
        fill: one value from 0 to 255, or several.
        owner: transform that takes the argument, for the message.
    """
    values = list(fill) if isinstance(fill, (list, tuple)) else [fill]
    for value in values:
        number('fill', value, owner, 0, 255)
    return values


def _checked_range(name: str, values: Any, owner: object, most: float = math.inf) -> tuple[float, float]:
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        raise ConfigError(f'{type(owner).__name__}: {name} must be (smallest, largest), got {values!r}')
    low, high = (positive(name, value, owner) for value in values)
    if not low <= high <= most:
        bound = '' if most == math.inf else f', at most {most}'
        raise ConfigError(f'{type(owner).__name__}: {name} must be (smallest, largest){bound}, got {values!r}')
    return low, high


def check_channels(name: str, values: Tensor, images: Tensor, owner: object) -> None:
    """Raises a ConfigError unless an argument has one value, or one for each channel of the images.

    Args:
        name: of the argument, for the message.
        values: of the argument, (N, 1, 1).
        images: (B, C, H, W).
        owner: transform that takes the argument, for the message.
    """
    if len(values) not in (1, images.shape[1]):
        raise ConfigError(
            f'{type(owner).__name__}: {name} has {len(values)} values, but the images have {images.shape[1]} channels; '
            'give one value, or one for each channel'
        )


def _filled(images: Tensor, rows: Tensor, columns: Tensor, fill: Tensor) -> Tensor:
    """Images with `fill` where both rows (B, H) and columns (B, W), on the host, are True."""
    rows, columns, fill = (to_device_of(images, tensor) for tensor in (rows, columns, fill))
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], fill, images)


def _between(bounds: Sequence[float], share: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * share
