"""The states of torch's random generators, to draw the same numbers again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor


class RandomState(NamedTuple):
    """States of the generators of the CPU and of one CUDA device.

    Attributes:
        cpu: state of the CPU's generator.
        device: the CUDA device, None without one.
        cuda: state of the generator of that device, None without one.
    """

    cpu: Tensor
    device: torch.device | None = None
    cuda: Tensor | None = None


def random_state(device: torch.device | str | None = None) -> RandomState:
    """Return the states of the generators as they are now.

    Args:
        device: device of the network; the CPU's generator is always included.
    """
    if device is None or torch.device(device).type != 'cuda':
        return RandomState(torch.get_rng_state())
    device = torch.device(device)
    return RandomState(torch.get_rng_state(), device, torch.cuda.get_rng_state(device))


def set_random_state(state: RandomState) -> None:
    """Set the generators back, so that they draw the same numbers as after `random_state`.

    >>> state = random_state()
    >>> first = torch.rand(3)
    >>> set_random_state(state)
    >>> bool((torch.rand(3) == first).all())
    True
    """
    torch.set_rng_state(state.cpu)
    if state.cuda is not None and state.device is not None:
        torch.cuda.set_rng_state(state.cuda, state.device)


@contextmanager
def random_state_restored(device: torch.device | str | None = None) -> Iterator[None]:
    """Context at the end of which the generators are as they were at its beginning.

    Args:
        device: as of `random_state`.
    """
    state = random_state(device)
    try:
        yield
    finally:
        set_random_state(state)
