"""The private names of other libraries that this project cannot do without, one small function each.

Everything else uses public names alone. `tests/test_compat.py` checks each function, so that an upgrade of a library
which moves one of these names is reported by the name of the function here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner
    from torch.utils._python_dispatch import TorchDispatchMode

_Function = TypeVar('_Function', bound=Callable)


def leave_uncompiled(function: _Function) -> _Function:
    """Return the function such that `torch.compile` breaks the graph at a call of it and runs it as it is.

    `torch.compiler.disable` does the same and is public, but as a decorator it loads the compiler (about a second)
    when the module is imported. torch's own modules use this lazy form of it for the same reason.
    """
    return torch._disable_dynamo(function)


def tensors_in(tree: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples, dictionaries and other containers that torch knows.

    >>> len(tensors_in([torch.ones(1), dict(a=(torch.ones(2), 3))]))
    2
    """
    from torch.utils._pytree import tree_leaves

    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def dispatch_mode() -> type[TorchDispatchMode]:
    """Return the base class of modes that see every operation below autograd.

    torch documents it as the way to do this, and keeps it in a private module.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    return TorchDispatchMode


def tensor_version(x: Tensor) -> int:
    """Return how often a tensor was written to. Two equal numbers mean that its values stayed the same in between."""
    return x._version


def accumulation_steps(wrapper: OptimWrapper) -> int:
    """Return over how many batches MMEngine's wrapper of an optimiser accumulates gradients."""
    return getattr(wrapper, '_accumulative_counts', 1)


def swaps_channels(preprocessor: nn.Module) -> bool:
    """Return whether MMEngine's `ImgDataPreprocessor` turns RGB into BGR, or BGR into RGB."""
    return getattr(preprocessor, '_channel_conversion', False)


def checkpoint_schemes() -> list[str]:
    """Return the prefixes of addresses, such as `s3://`, for which MMEngine has a loader of checkpoints."""
    from mmengine.runner import CheckpointLoader

    return list(CheckpointLoader._schemes)


def randomness(runner: Runner) -> dict[str, Any]:
    """Return the config `randomness` of MMEngine's runner: seed, deterministic, diff_rank_seed."""
    return runner._randomness_cfg
