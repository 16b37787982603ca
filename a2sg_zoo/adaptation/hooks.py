"""Hooks of modules that copies and pickled files of the modules do without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any


class InertHook:
    """A hook that a copy or a pickled file of its module holds as a function that changes nothing.

    Args:
        function: a forward hook or forward pre-hook; None as its answer changes nothing.
    """

    def __init__(self, function: Callable[..., tuple | None]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> tuple | None:
        return self.function(*args)

    def __reduce_ex__(self, protocol: int) -> tuple:
        return getattr, (nullcontext(), '__exit__')  # takes any arguments, and answers None
