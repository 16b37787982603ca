"""Marks of tests that several files use."""

from collections.abc import Iterable

import pytest


def slow_unless(names: Iterable, quick: Iterable) -> list:
    """Parameters of which all but the quick ones have the mark `slow`."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]
