"""The private names of other libraries that this project cannot do without, one small function each.

Everything else uses public names alone. `tests/test_compat.py` checks each function, so that an upgrade of a library
which moves one of these names is reported by the name of the function here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner

_Function = TypeVar('_Function', bound=Callable)


def leave_uncompiled(function: _Function) -> _Function:
    """Return the function such that `torch.compile` breaks the graph at a call of it and runs it as it is.

    `torch.compiler.disable` does the same and is public, but as a decorator it loads the compiler (about a second)
    when the module is imported. torch's own modules use this lazy form of it for the same reason.
    """
    return cast(_Function, torch._disable_dynamo(function))


def backward_in_progress() -> int:
    """Return the number of the backward pass that this thread is in, -1 outside of one.

    torch has no public way to tell; its own activation checkpointing uses this one.
    """
    return torch._C._current_graph_task_id()


def queue_after_backward(function: Callable[[], None]) -> None:
    """Call a function at the end of the backward pass that this thread is in.

    torch has no public way to do so; its own data-parallel wrappers use this one.
    """
    torch.autograd.Variable._execution_engine.queue_callback(function)


def tensor_version(x: Tensor) -> int:
    """Return how often a tensor was written to. Two equal numbers mean that its values stayed the same in between."""
    return x._version


def accumulation_steps(wrapper: OptimWrapper) -> int:
    """Return over how many batches MMEngine's wrapper of an optimiser accumulates gradients."""
    return getattr(wrapper, '_accumulative_counts', 1)


def checkpoint_schemes() -> list[str]:
    """Return the prefixes of addresses, such as `s3://`, for which MMEngine has a loader of checkpoints."""
    from mmengine.runner import CheckpointLoader

    return list(CheckpointLoader._schemes)


def randomness(runner: Runner) -> dict[str, Any]:
    """Return the config `randomness` of MMEngine's runner: seed, deterministic, diff_rank_seed."""
    return runner._randomness_cfg
