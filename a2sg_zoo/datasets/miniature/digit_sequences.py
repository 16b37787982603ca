"""scikit-learn's digits as sequences: the data of `--demo` for networks that read images pixel by pixel."""

from collections.abc import Sequence

import numpy as np
import torch

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.datasets.sequences import check_order, to_sequences
from a2sg_zoo.registry import DATASETS


@DATASETS.register_module()
class DigitSequences(ImagesInMemory):
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, read a pixel, row or column a time step.

    A sample is float32 (64, 1) in [0, 1], row after row, or (8, 8). Every fifth digit is for the test: 1,437 are for
    training, 360 for the test.

    Args:
        train: take the training digits, or else the test digits.
        by: 'pixel', 'row' or 'column'; see `to_sequences`.
        permuted: read the pixels in a fixed random order, which destroys the neighbourhood of pixels.
        pipeline: batch transforms, or their configs.

    Raises:
        ConfigError: `by` is another text, or `permuted` without pixels.

    Source: Le, Jaitly and Hinton, arXiv 1504.00941 (pixel by pixel, and permuted); UCI Machine Learning Repository,
    Optical Recognition of Handwritten Digits.

    >>> from a2sg_zoo.datasets import DigitSequences
    >>> DigitSequences()[0]['inputs'].shape, DigitSequences(by='row')[0]['inputs'].shape
    (torch.Size([64, 1]), torch.Size([8, 8]))
    """

    def __init__(
        self, train: bool = True, by: str = 'pixel', permuted: bool = False, pipeline: Sequence[Step] = ()
    ) -> None:
        check_order(by, permuted, 'DigitSequences')
        from sklearn.datasets import load_digits  # takes a second

        digits = load_digits()
        chosen = (np.arange(len(digits.target)) % 5 == 0) != train
        images = torch.from_numpy(digits.images[chosen]).float()[:, None] / 16
        sequences = to_sequences(images, by, permuted).contiguous()
        super().__init__(sequences, digits.target[chosen], map(str, range(10)), pipeline)
        self.metainfo['T'] = sequences.shape[1]
