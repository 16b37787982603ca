"""Images that a network reads piece by piece: a batch transform for every data set of images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from a2sg_zoo.datasets.augment import Draws, check_channels
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import TRANSFORMS

ORDERS = ('pixel', 'row', 'column')


def fixed_permutation(n: int) -> Tensor:
    """Returns the order in which permuted sequences read n pixels, int64 (n,). It is the same on every machine.

    >>> from a2sg_zoo.datasets.sequences import fixed_permutation
    >>> sorted(fixed_permutation(64).tolist()) == list(range(64))
    True
    """
    return torch.from_numpy(np.random.RandomState(0).permutation(n))


def check_order(by: str, permuted: bool, owner: str) -> None:
    """Raises a ConfigError if images cannot be read in this order."""
    if by not in ORDERS:
        raise ConfigError(f'{owner}: by must be {" or ".join(map(repr, ORDERS))}, got {by!r}')
    if permuted and by != 'pixel':
        raise ConfigError(f"{owner}: permuted=True mixes single pixels, so by must be 'pixel', got {by!r}")


def to_sequences(images: Tensor, by: str = 'pixel', permuted: bool = False) -> Tensor:
    """Reads images piece by piece.

    Args:
        images: (B, C, H, W).
        by: 'pixel', row after row; 'row'; or 'column'.
        permuted: read the pixels in a fixed random order.

    Returns:
        (B, H * W, C) for pixels, (B, H, C * W) for rows, (B, W, C * H) for columns.

    >>> import torch
    >>> from a2sg_zoo.datasets.sequences import to_sequences
    >>> to_sequences(torch.rand(2, 3, 32, 32)).shape, to_sequences(torch.rand(2, 3, 32, 32), by='column').shape
    (torch.Size([2, 1024, 3]), torch.Size([2, 32, 96]))
    """
    if by == 'row':
        return images.permute(0, 2, 1, 3).flatten(2)
    if by == 'column':
        return images.permute(0, 3, 1, 2).flatten(2)
    sequences = images.flatten(2).transpose(1, 2)
    return sequences[:, fixed_permutation(sequences.shape[1])] if permuted else sequences


@TRANSFORMS.register_module()
class ToSequence:
    """Reads each image piece by piece, one time step a piece: uint8 (B, C, H, W) to float32 (B, T, F).

    The last step of a `pipeline`, after the augmentation. A time step is a pixel (F = C), a row (F = C * W) or a column
    (F = C * H); see `to_sequences`. The values are x = (image - mean) / std, from 0 to 1 by default.

    Args:
        by: 'pixel', row after row; 'row'; or 'column'.
        permuted: read the pixels in a fixed random order, which destroys the neighbourhood of pixels.
        mean: of each channel, or one for all, 0 to 255.
        std: of each channel, or one for all.

    Raises:
        ConfigError: `by` is another text, `permuted` without pixels, a deviation is not positive, or `mean` or `std`
            does not fit the channels of the images.

    Source: Le, Jaitly and Hinton, arXiv 1504.00941 (MNIST pixel by pixel, and permuted).

    >>> from a2sg_zoo.datasets import Digits
    >>> Digits(size=8, pipeline=[dict(type='ToSequence')])[0]['inputs'].shape
    torch.Size([64, 3])
    """

    def __init__(
        self, by: str = 'pixel', permuted: bool = False, mean: Sequence[float] = (0.0,), std: Sequence[float] = (255.0,)
    ) -> None:
        check_order(by, permuted, 'ToSequence')
        if not all(value > 0 for value in std):
            raise ConfigError(f'ToSequence: std must be positive, got {list(std)}')
        self.by, self.permuted = by, permuted
        self.mean, self.std = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns sequences (B, T, F); see the class."""
        check_channels('mean', self.mean, images, self)
        check_channels('std', self.std, images, self)
        return to_sequences((images.float() - self.mean) / self.std, self.by, self.permuted).contiguous()
