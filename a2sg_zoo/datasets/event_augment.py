"""Augmentation of batches of event frames, (B, T, 2, H, W). All frames of a sample are transformed alike."""

from collections.abc import Sequence
from math import radians

import torch
from torch import Tensor

from a2sg_zoo.datasets.augment import Draws
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import TRANSFORMS
from a2sg_zoo.utils.checks import integer, number

_OPERATIONS = ('identity', 'roll', 'rotate', 'shear', 'cutout')


@TRANSFORMS.register_module()
class BatchEventAugment:
    """Mirrors left to right, then applies one operation to each sample, all with equal probability:

    - roll: by up to `roll` pixels in each direction, pixels that leave on one side come back on the other;
    - rotate: about the centre, by up to `rotate` degrees either way;
    - shear: sideways, about the centre, by up to `shear` degrees either way;
    - cutout: the events in a square of `cutout` pixels are removed; its centre lies anywhere in the frame;
    - identity: no change.

    Pixels are moved to the nearest place, so counts stay counts.

    Args:
        operations: names from the list above.
        flip: probability of the mirror.
        roll, rotate, shear, cutout: see above.

    Raises:
        ConfigError: an operation is unknown, or an argument is out of its range.

    Source: Neuromorphic Data Augmentation, Li et al., ECCV 2022. Its published code for CIFAR10-DVS, on 48x48 pixels,
    draws from roll, rotate and shear with the strengths that are the defaults here; it fills no cutouts, though the
    paper has them, so the size of the square is this project's. With `operations=['roll']` it is the augmentation of
    TET's published code.
    """

    def __init__(
        self,
        operations: Sequence[str] = ('roll', 'rotate', 'shear'),
        flip: float = 0.5,
        roll: int = 5,
        rotate: float = 30,
        shear: float = 30,
        cutout: int = 16,
    ) -> None:
        unknown = set(operations) - set(_OPERATIONS)
        if unknown or not operations:
            raise ConfigError(
                f'BatchEventAugment: operations must be some of {", ".join(_OPERATIONS)}, got '
                f'{", ".join(sorted(unknown)) or "none"}'
            )
        self.operations, self.flip = list(operations), number('flip', flip, self, 0, 1)
        self.roll, self.cutout = integer('roll', roll, self, 0), integer('cutout', cutout, self, 0)
        self.rotate = number('rotate', rotate, self, 0, 180)
        self.shear = number('shear', shear, self, 0, 90, below_high=True)

    def __call__(self, frames: Tensor, draws: Draws) -> Tensor:
        """Returns new frames (B, T, 2, H, W); see the class."""
        height, width = frames.shape[-2:]
        flipped = draws.events(self.flip)
        choice = draws.integers(len(self.operations))
        u, v = draws.uniform(), draws.uniform()

        def strength(name: str, value: Tensor) -> Tensor:
            """`value` where a sample drew the operation, else 0."""
            chosen = torch.tensor([operation == name for operation in self.operations])[choice]
            return torch.where(chosen, value, 0)[:, None, None]

        rotation = strength('rotate', (2 * u - 1) * radians(self.rotate))
        slope = strength('shear', (2 * u - 1) * radians(self.shear)).tan()
        down, right = (strength('roll', (x * (2 * self.roll + 1)).floor() - self.roll) for x in (u, v))
        side = strength('cutout', torch.full_like(u, self.cutout))

        # where each pixel comes from, as coordinates about the centre, then as rows and columns
        y, x = torch.meshgrid(
            torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing='ij'
        )
        sources_y = rotation.cos() * y + rotation.sin() * x
        sources_x = rotation.cos() * x - rotation.sin() * y + slope * y
        rows = (sources_y + (height - 1) / 2).round().long()
        columns = (sources_x + (width - 1) / 2).round().long()
        kept = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = (rows - down.long()) % height, (columns - right.long()) % width
        columns = torch.where(flipped[:, None, None], width - 1 - columns, columns)
        top, left = ((z * n).floor()[:, None, None] - side // 2 for z, n in ((u, height), (v, width)))
        i, j = torch.arange(height)[:, None], torch.arange(width)
        kept &= ~((i >= top) & (i < top + side) & (j >= left) & (j < left + side))

        source = (rows * width + columns).flatten(1)[:, None, None].expand(*frames.shape[:3], -1)
        return (frames.flatten(3).gather(3, source) * kept.flatten(1)[:, None, None]).view_as(frames)
