"""Ways through the values of a config."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value in a config; a list of plain values is one.

    Example:
        >>> [*leaves(dict(a=[dict(b=1)], c=[2, 3]))]
        [('a.0.b', 1), ('c', [2, 3])]

    Args:
        node: a config, or a part of one.
        path: its dotted key.
    """
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        below = f'{path}.{key}' if path else str(key)
        if (
            isinstance(value, Mapping)
            or isinstance(value, (list, tuple))
            and any(isinstance(x, Mapping) for x in value)
        ):
            yield from leaves(value, below)
        else:
            yield below, value


def listed(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """(dotted key, part) of the parts that stand in a list, or of a single part without a list.

    Args:
        node: a list of parts, a part, or None.
        key: its dotted key.
    """
    if isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            yield f'{key}.{i}', item
    elif node is not None:
        yield key, node
