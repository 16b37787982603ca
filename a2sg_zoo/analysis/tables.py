"""Rows as Markdown, and data as JSON, where what is not finite is undefined."""

import json
import math


def table(rows):
    """Dictionaries with the same keys as a Markdown table; None, NaN and infinity are 'undefined'."""
    heads = list(rows[0])
    lines = [heads, ['---'] * len(heads), *([cell(row[head]) for head in heads] for row in rows)]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def cell(value):
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return 'undefined'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f'{value:.4g}' if isinstance(value, float) else str(value).replace('|', r'\|')


def as_json(data):
    """Text of JSON, with null for what is not finite."""
    return json.dumps(_finite(data), indent=2, allow_nan=False) + '\n'


def _finite(node):
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
