"""Tensors in nested data."""

from collections.abc import Iterator
from typing import Any

import torch


def nested_tensors(node: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors in nested lists, tuples, dictionaries and MMEngine's data elements, in order.

    >>> [x.tolist() for x in nested_tensors([torch.tensor(1), dict(a=(torch.tensor(2), 'text'))])]
    [1, 2]

    Args:
        node: a tensor, a container, or anything else, in which there are no tensors.
    """
    if isinstance(node, torch.Tensor):
        yield node
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from nested_tensors(value)
    elif hasattr(node, 'items') and not isinstance(node, type):
        for _, value in node.items():
            yield from nested_tensors(value)
