"""Augmentation that is a pure function of a seed, whatever process draws it."""

import random
from contextlib import contextmanager

import numpy as np
import torch


class SeededIndex(int):
    """A position in a data set, with the seed of the augmentation that is drawn for it.

    A sampler yields these instead of plain integers; they survive the way to a DataLoader's workers.

    Args:
        index: the position, from 0.
        seed: a non-negative integer; its lowest 32 bits count.
    """

    def __new__(cls, index, seed):
        self = super().__new__(cls, index)
        self.seed = int(seed)
        return self

    def __getnewargs__(self):
        return int(self), self.seed

    def __repr__(self):
        return f'SeededIndex({int(self)}, seed={self.seed})'


@contextmanager
def seeded(seed):
    """Within the block, `random`, `numpy.random` and torch's CPU generator run from `seed`; afterwards they go
    on as if the block had not been. Generators of accelerators are not touched."""
    seed %= 2**32  # numpy takes no more
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        # not torch.manual_seed, which reseeds the accelerators too
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SeededItems:
    """Mixin for a data set: `dataset[SeededIndex(i, seed)]` depends on nothing but i and seed.

    So a run that resumes in the middle of an epoch sees the very images that the uninterrupted run saw, with any
    number of workers. A plain integer index draws from the process' own generators, as ever. Name the mixin
    before the data set among the bases.
    """

    def __getitem__(self, index):
        if isinstance(index, SeededIndex):
            with seeded(index.seed):
                return super().__getitem__(index)
        return super().__getitem__(index)
