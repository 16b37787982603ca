"""The measurements of speed as Markdown and as JSON."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from a2sg_zoo.benchmark.speed.rows import Row
from a2sg_zoo.utils.markdown import markdown_table

Profiles = Mapping[str, Sequence[tuple[str, float]]]


def markdown(rows: Sequence[Row], facts: Mapping[str, Any], profiles: Profiles | None = None) -> str:
    """Return measurements as Markdown.

    Args:
        rows: measurements.
        facts: facts of the measurement: `machine`, `command`, versions and so on.
        profiles: from `where_time_goes`.
    """
    parts = [
        '# Speed and memory',
        f'Measured on {facts["machine"]} by',
        f'    {facts["command"]}',
        'Ratios of medians of interleaved runs in one process; below 1 is faster, or less memory. "Reach" is what this '
        'project aims at.',
        markdown_table(['what', 'against', 'ratio', 'reach', ''], map(_cells, rows)),
        '## Medians',
    ]
    shown: list[Mapping[str, float]] = []
    for row in rows:
        if row.medians not in shown:
            shown.append(row.medians)
            parts += [f'{row.what.partition(":")[0]}:', _medians(row)]
    if profiles:
        parts.append('## Where the time goes')
        parts += [f'{step}: {_shares(shares)}' for step, shares in profiles.items()]
    parts += ['## Facts', markdown_table(['', ''], facts.items())]
    return '\n\n'.join(parts) + '\n'


def as_data(rows: Iterable[Row], facts: Mapping[str, Any], profiles: Profiles | None = None) -> dict[str, Any]:
    """Return measurements as JSON data, with the quartiles of the rounds in place of every round."""
    described = []
    for row in rows:
        data = row._asdict() | dict(ratio=row.ratio if math.isfinite(row.ratio) else None)
        del data['runs']
        described.append(data | dict(quartiles={name: _quartiles(row, name) for name in row.runs}))
    return dict(facts=dict(facts), rows=described, profiles=profiles)


def _cells(row: Row) -> list[str]:
    verdict = '' if row.reach is None else 'reached' if row.ratio <= row.reach else 'missed'
    return [row.what, row.against, f'{row.ratio:.2f}', '' if row.reach is None else f'{row.reach:.2f}', verdict]


def _medians(row: Row) -> str:
    return markdown_table(
        ['', 'median', 'quartiles'],
        [
            [name, _shown(value, row), ' to '.join(_shown(x, row) for x in _quartiles(row, name))]
            for name, value in row.medians.items()
        ],
    )


def _quartiles(row: Row, name: str) -> list[float]:
    """The first and the third quartile of the rounds; nothing for fewer than two."""
    return statistics.quantiles(row.runs[name], n=4)[::2] if len(row.runs.get(name, [])) > 1 else []


def _shown(value: float, row: Row) -> str:
    return f'{value * 1e3:,.1f} ms' if row.runs else f'{value / 2**20:,.0f} MiB'


def _shares(shares: Sequence[tuple[str, float]]) -> str:
    return ', '.join(f'`{key}` {share:.0%}' for key, share in shares if share >= 0.01)
