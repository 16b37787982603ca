"""Rows as Markdown tables and data as JSON; values that are not finite are undefined."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from a2sg_zoo.hub.files import finite_json
from a2sg_zoo.utils.markdown import markdown_table


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Return rows as a Markdown table with a line end.

    Args:
        rows: dictionaries {title of the column: value} with the same keys; at least one.

    Example:
        >>> from a2sg_zoo.analysis.tables import table
        >>> print(table([dict(layer='fc1', cv=1 / 3), dict(layer='fc2', cv=None)]), end='')
        | layer | cv |
        | --- | --- |
        | fc1 | 0.3333 |
        | fc2 | undefined |
    """
    heads = list(rows[0])
    return markdown_table(heads, [[cell(row[head]) for head in heads] for row in rows]) + '\n'


def cell(value: Any) -> str:
    """Return a value as text: numbers with four significant digits; None, NaN and infinity as 'undefined'."""
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return 'undefined'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def as_json(data: Any) -> str:
    """Return data as JSON text, with null for numbers that are not finite."""
    return json.dumps(finite_json(data), indent=2, allow_nan=False) + '\n'
