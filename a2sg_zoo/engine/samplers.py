"""Samplers with a stream that depends on the seed and the position alone, so that a run resumes exactly."""

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATA_SAMPLERS


def mixed_seed(*parts: int) -> int:
    """A seed of 64 bits from non-negative integers; neighbouring parts give unrelated seeds, unlike their sums.

    Example:
        >>> mixed_seed(0, 1) == mixed_seed(0, 1), mixed_seed(0, 1) == mixed_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """One endless stream of indices that all processes share, each index with the seed of its augmentation.

    The stream is that of MMEngine's `InfiniteSampler`: one permutation of the data set after the other. Process r of N
    takes the positions r, r + N, r + 2N, ... The augmentation's seed depends on the sampler's seed and the position,
    so the third visit to an image is augmented in another way than the first, but always in the same way.

    Args:
        dataset: sized data set.
        shuffle: permute the data set, or take it in its order.
        seed: of the permutations; by default one that the processes draw together.

    Attributes:
        origin: position of the stream at iteration 0. It differs from 0 after a run was resumed with another number of
            samples a step; see `ResumeHook`.
    """

    def __init__(self, dataset: Any, shuffle: bool = True, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size, self.shuffle = len(dataset), shuffle
        if not self.size:
            raise DataError(f'the data set {type(dataset).__name__} is empty, there is nothing to train on')
        self.seed = sync_random_seed() if seed is None else seed
        self.origin = self._skipped = 0

    def skip(self, num_samples: int) -> None:
        """Starts later iterations over the sampler after the first `num_samples` of this process, without loading them.

        Args:
            num_samples: steps of this process times its batch size.
        """
        self._skipped = num_samples

    def indices(self, start: int = 0) -> Iterator[int]:
        """The stream of all processes, without seeds.

        Args:
            start: first position.
        """
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        epochs, start = divmod(start, self.size)
        for _ in range(epochs if self.shuffle else 0):
            torch.randperm(self.size, generator=generator)
        while True:
            order = torch.randperm(self.size, generator=generator).tolist() if self.shuffle else range(self.size)
            yield from order[start:]
            start = 0

    def batch(self, iteration: int, batch_size: int) -> list[int]:
        """The indices that this process gets in a step.

        Args:
            iteration: number of the step, from 0.
            batch_size: of this process.
        """
        start = self.origin + iteration * batch_size * self.world_size + self.rank
        return list(islice(self.indices(start), 0, batch_size * self.world_size, self.world_size))

    def __iter__(self) -> Iterator[SeededIndex]:
        start = self.origin + self._skipped * self.world_size + self.rank
        for position, index in zip(
            count(start, self.world_size), islice(self.indices(start), 0, None, self.world_size)
        ):
            yield SeededIndex(index, seed=mixed_seed(self.seed, position), visit=position // self.size)

    def __len__(self) -> int:
        return self.size


@DATA_SAMPLERS.register_module()
class ResumableEpochSampler(DefaultSampler):
    """`ResumableSampler` for loops over epochs: MMEngine's `DefaultSampler` with seeds for augmentation.

    Args:
        **kwargs: those of `mmengine.dataset.DefaultSampler`: dataset, shuffle, seed, round_up.
    """

    def __iter__(self) -> Iterator[SeededIndex]:
        for position, index in zip(count(self.rank, self.world_size), super().__iter__()):
            yield SeededIndex(index, seed=mixed_seed(self.seed, self.epoch, position), visit=self.epoch)
