"""Spike trains that look like spoken words to a model of the ear, drawn by rule: ten classes that time tells apart."""

from collections.abc import Sequence

import numpy as np
import torch

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.checks import integer, number

# Two formants of each word at its beginning, middle and end, as shares of the axis of channels. The second word of a
# pair is the first one backwards, so both have the same counts of spikes, and their order in time alone differs.
_WORDS = (
    ((0.12, 0.20, 0.40), (0.55, 0.70, 0.80)),
    ((0.40, 0.20, 0.12), (0.80, 0.70, 0.55)),
    ((0.12, 0.26, 0.40), (0.85, 0.72, 0.60)),
    ((0.40, 0.26, 0.12), (0.60, 0.72, 0.85)),
    ((0.18, 0.40, 0.30), (0.50, 0.55, 0.75)),
    ((0.30, 0.40, 0.18), (0.75, 0.55, 0.50)),
    ((0.22, 0.12, 0.34), (0.88, 0.75, 0.66)),
    ((0.34, 0.12, 0.22), (0.66, 0.75, 0.88)),
    ((0.36, 0.28, 0.16), (0.56, 0.82, 0.90)),
    ((0.16, 0.28, 0.36), (0.90, 0.82, 0.56)),
)


@DATASETS.register_module()
class SpokenDigits(ImagesInMemory):
    """Spike trains of ten words, drawn by rule: float32 (T, channels) of zeros and ones, and a label.

    A word is two formants: bands of channels that fire, and that move over the channels while the word lasts. At the
    place v in [0, 1] of the word, formant k lies at the channel f_k(v), a line through three points, and channel c
    spikes in a time step with probability

        p = noise + peak * (1 - ((c - f_k(v)) / h)^2)^2   where |c - f_k(v)| < h, the half width of a formant.

    Each sample has its own start, length, shift of all channels, distance of the two formants, and rate. Five words
    are the other five backwards: counts of spikes cannot tell the two of a pair apart.

    A linear classifier (scikit-learn's LogisticRegression, C = 0.01) has a test accuracy of 40 % on the spike
    counts of the channels over the whole word, and of 84 % on counts in eight slices of time.

    The samples depend on the arguments alone, and are the same on every machine. Data like Spiking Heidelberg Digits
    (`SHD`), without a download.

    Args:
        train: draw the training samples, or else the test samples.
        T: time steps.
        channels: number of channels F.
        samples: number of samples; by default 2,000 for training and 500 for the test.
        noise: probability of a background spike in a channel and time step.
        jitter: scales how much the samples of a word differ; 0 draws the same word always, but for noise.
        seed: a non-negative integer; its lowest 32 bits count.
        pipeline: batch transforms, or their configs.

    Raises:
        ConfigError: an argument is out of range.

    >>> from a2sg_zoo.datasets import SpokenDigits
    >>> data = SpokenDigits(samples=20)
    >>> data[3]['inputs'].shape, data[3]['data_samples']
    (torch.Size([64, 64]), 3)
    """

    def __init__(
        self,
        train: bool = True,
        T: int = 64,
        channels: int = 64,
        samples: int | None = None,
        noise: float = 0.02,
        jitter: float = 1.0,
        seed: int = 0,
        pipeline: Sequence[Step] = (),
    ) -> None:
        integer('T', T, self, 8)
        integer('channels', channels, self, 16)
        integer('seed', seed, self, 0)
        number('noise', noise, self, 0, 0.5)
        number('jitter', jitter, self, 0, 1)
        samples = (2000 if train else 500) if samples is None else integer('samples', samples, self)
        labels = np.arange(samples) % len(_WORDS)
        random = np.random.RandomState([seed % 2**32, int(train)])  # its numbers never change
        spikes = _draw(random, labels, T, channels, noise, jitter)
        super().__init__(torch.from_numpy(spikes), labels, map(str, range(10)), pipeline)
        self.metainfo['T'] = T


def _draw(
    random: np.random.RandomState, labels: np.ndarray, T: int, channels: int, noise: float, jitter: float
) -> np.ndarray:
    """The spikes of words, float32 (N, T, channels). Only +, -, * and /, which round alike on every machine."""

    def between(low, high):
        return (low + high) / 2 + jitter * (high - low) * (random.random_sample((len(labels), 1)) - 0.5)

    points = np.array(_WORDS)[labels]  # (N, 2, 3)
    length = between(0.4, 0.85) * T
    start = random.random_sample((len(labels), 1)) * (T - length) if jitter else (T - length) / 2
    shift, spread, peak = between(-0.08, 0.08), between(0.85, 1.15), between(0.25, 0.65)
    place = (np.arange(T) - start) / length  # (N, T)
    spoken = (place >= 0) & (place < 1)
    place = np.clip(place, 0, 1)[:, None]
    first, middle, last = points[..., None].transpose(2, 0, 1, 3)
    track = np.where(place < 0.5, first + (middle - first) * 2 * place, middle + (last - middle) * (2 * place - 1))
    track = (0.5 + (track - 0.5) * spread[..., None] + shift[..., None]) * channels  # (N, 2, T)
    half = 0.055 * channels
    offset = (np.arange(channels) + 0.5 - track[..., None]) / half  # (N, 2, T, channels)
    bump = np.clip(1 - offset * offset, 0, None)
    rate = noise + peak[..., None] * (bump * bump).max(1) * spoken[..., None]
    return (random.random_sample(rate.shape) < rate).astype(np.float32)
