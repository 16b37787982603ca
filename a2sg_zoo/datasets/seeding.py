"""Augmentation that is a pure function of a seed, in any process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class SeededIndex(int):
    """A position in a data set, with the seed of the augmentation that is drawn for it.

    A sampler yields these instead of plain integers; they survive the way to a DataLoader's workers.

    Args:
        index: the position, from 0.
        seed: a non-negative integer; its lowest 32 bits count.
        visit: number of the pass over the data set in which the position is drawn, from 0.
    """

    seed: int
    visit: int

    def __new__(cls, index: int, seed: int, visit: int = 0) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.seed, self.visit = int(seed), int(visit)
        return self

    def __getnewargs__(self) -> tuple[int, int, int]:
        return int(self), self.seed, self.visit

    def __repr__(self) -> str:
        return f'SeededIndex({int(self)}, seed={self.seed}, visit={self.visit})'


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which `random`, `numpy.random` and torch's CPU generator start from `seed`.

    Afterwards they continue as if the block had not run. Generators of accelerators are not touched.

    Args:
        seed: a non-negative integer; its lowest 32 bits count.

    >>> with seeded(5):
    ...     first = random.random()
    >>> with seeded(5):
    ...     second = random.random()
    >>> first == second
    True
    """
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
    """Mixin for a data set: `dataset[SeededIndex(i, seed)]` depends on i and seed alone.

    A run that resumes in the middle of an epoch then sees the same images as the uninterrupted run, with any number of
    workers. With a plain integer index, the generators of the process are used. Name the mixin before the data set
    among the bases.
    """

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, SeededIndex):
            with seeded(index.seed):
                return super().__getitem__(index)  # type: ignore[misc]
        return super().__getitem__(index)  # type: ignore[misc]
