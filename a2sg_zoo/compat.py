"""The private names of other libraries that this project cannot do without, one small function each.

Everything else uses public names alone. `tests/test_compat.py` checks each function, so that an upgrade of a library
which moves one of these names is reported by the name of the function here.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

_Function = TypeVar('_Function', bound=Callable)


def leave_uncompiled(function: _Function) -> _Function:
    """Return the function such that `torch.compile` breaks the graph at a call of it and runs it as it is.

    `torch.compiler.disable` does the same and is public, but as a decorator it loads the compiler (about a second)
    when the module is imported. torch's own modules use this lazy form of it for the same reason.
    """
    return torch._disable_dynamo(function)


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
