"""Samplers whose stream depends on the seed and the position alone, so that a run resumes exactly."""

from itertools import count, islice

import numpy as np
from mmengine.dataset import DefaultSampler, InfiniteSampler

from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.registry import DATA_SAMPLERS


def mixed_seed(*parts):
    """A seed of 64 bits from non-negative integers; neighbours give unrelated seeds, which sums of them do not."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


@DATA_SAMPLERS.register_module()
class ResumableSampler(InfiniteSampler):
    """MMEngine's `InfiniteSampler`, whose indices carry the seed of their augmentation.

    The seed depends on the sampler's seed and on the position in the stream that all processes share, so the third
    visit to an image is augmented otherwise than the first, but always in the same way.

    Args:
        **kwargs: those of `mmengine.dataset.InfiniteSampler`: dataset, shuffle, seed.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._start = 0

    def skip(self, num_samples):
        """Starts iterations at this process' sample number `num_samples`, without loading those before."""
        self._start = num_samples

    def __iter__(self):
        positions = count(self.rank + self._start * self.world_size, self.world_size)
        for position, index in zip(positions, islice(self._indices_of_rank(), self._start, None)):
            yield SeededIndex(index, seed=mixed_seed(self.seed, position))


@DATA_SAMPLERS.register_module()
class ResumableEpochSampler(DefaultSampler):
    """`ResumableSampler` for loops over epochs: MMEngine's `DefaultSampler` with seeds for augmentation.

    Args:
        **kwargs: those of `mmengine.dataset.DefaultSampler`: dataset, shuffle, seed, round_up.
    """

    def __iter__(self):
        for position, index in zip(count(self.rank, self.world_size), super().__iter__()):
            yield SeededIndex(index, seed=mixed_seed(self.seed, self.epoch, position))
