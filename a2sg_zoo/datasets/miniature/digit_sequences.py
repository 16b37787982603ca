"""scikit-learn's digits as sequences: the data of `--demo` for networks that read images pixel by pixel."""

from collections.abc import Sequence

import numpy as np
import torch

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import DATASETS

_SIDE = 8


def fixed_permutation(n: int) -> np.ndarray:
    """The order in which permuted sequences read n pixels. It is the same on every machine: int64 (n,).

    >>> from a2sg_zoo.datasets.miniature.digit_sequences import fixed_permutation
    >>> sorted(fixed_permutation(64).tolist()) == list(range(64))
    True
    """
    return np.random.RandomState(0).permutation(n)


@DATASETS.register_module()
class DigitSequences(ImagesInMemory):
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, read one pixel or row a time step.

    A sample is float32 (64, 1) in [0, 1], row after row, or (8, 8) with `rows`. Every fifth digit is for the test:
    1,437 are for training, 360 for the test.

    Args:
        train: take the training digits, or else the test digits.
        rows: read a row of eight pixels a time step, not one pixel.
        permuted: read the pixels in a fixed random order, which destroys the neighbourhood of pixels.
        pipeline: batch transforms, or their configs.

    Raises:
        ConfigError: both `rows` and `permuted`.

    Source: Le, Jaitly and Hinton, arXiv 1504.00941 (pixel by pixel, and permuted); UCI Machine Learning Repository,
    Optical Recognition of Handwritten Digits.

    >>> from a2sg_zoo.datasets import DigitSequences
    >>> DigitSequences()[0]['inputs'].shape, DigitSequences(rows=True)[0]['inputs'].shape
    (torch.Size([64, 1]), torch.Size([8, 8]))
    """

    def __init__(
        self, train: bool = True, rows: bool = False, permuted: bool = False, pipeline: Sequence[Step] = ()
    ) -> None:
        if rows and permuted:
            raise ConfigError('DigitSequences: permuted reads single pixels, so rows must be False')
        from sklearn.datasets import load_digits  # takes a second

        digits = load_digits()
        chosen = (np.arange(len(digits.target)) % 5 == 0) != train
        pixels = digits.images[chosen].reshape(-1, _SIDE**2) / 16
        if permuted:
            pixels = pixels[:, fixed_permutation(_SIDE**2)]
        sequences = torch.from_numpy(pixels).float().view(len(pixels), _SIDE if rows else _SIDE**2, -1)
        super().__init__(sequences, digits.target[chosen], map(str, range(10)), pipeline)
        self.metainfo['T'] = sequences.shape[1]
