"""What a policy did, written down: a file of JSON lines, charts, and a line of text.

A record is the plain data of one log point:

    {"iter": 100, "layers": {NAME: {"beta": [T], "sgv": x, "tgc": [T - 1], "cv": [T], "rate": x,
                                    "u_mean": [T], "u_std": [T]}},
     "on_bound": {"spatial": share, "temporal": share}}
"""

import json
import logging
import math
import os
from pathlib import Path
from statistics import fmean

from mmengine.logging import print_log

from a2sg_zoo.engine.logs import tolerated

CHARTS = ('network', 'layers', 'steps')
_TITLES = {'beta': 'width'}


def append_record(path: Path, record: dict) -> None:
    """Appends a record to a file of JSON lines, whole or not at all; a file that cannot be written is only warned of.

    Args:
        path: the file.
        record: plain data, see the module.
    """
    with tolerated(path), open(path, 'ab', buffering=0) as file:
        line = json.dumps(record).encode() + b'\n'
        size = file.tell()
        try:
            while line:  # where the space ends, part of it may fit
                line = line[file.write(line) :]
        except OSError:
            file.truncate(size)
            raise


def drop_records_from(path: Path, iteration: int) -> None:
    """Removes what a run wrote after the checkpoint that it resumes from, and lines that are no records.

    Args:
        path: the file of JSON lines; it may be missing.
        iteration: records of later iterations are removed.
    """
    with tolerated(path):
        if not path.exists():
            return
        lines = path.read_bytes().splitlines()
        records = [_record(line) for line in lines]
        odd = [i for i, record in enumerate(records, 1) if record is None and lines[i - 1].strip()]
        if odd and odd != [len(lines)]:  # a kill may cut the last line short
            print_log(
                f'{path}: {len(odd)} lines are no records of a run and are left out, the first is line {odd[0]}',
                'current',
                logging.WARNING,
            )
        kept = [line + b'\n' for line, record in zip(lines, records) if record and record['iter'] <= iteration]
        temporary = path.with_suffix('.tmp')
        temporary.write_bytes(b''.join(kept))
        os.replace(temporary, path)


def _record(line: bytes) -> dict | None:
    """The record in a line of the file, None where there is none."""
    try:
        record = json.loads(line)
    except ValueError:  # no text, or no JSON
        return None
    sound = isinstance(record, dict) and type(record.get('iter')) is int and isinstance(record.get('layers'), dict)
    return record if sound else None


def charts(record: dict, detail: str = 'network') -> dict[str, float]:
    """The numbers of a record that become charts.

    Args:
        record: see the module.
        detail: 'network' gives the mean over all layers and time steps, and the smallest and largest width;
            'layers' adds a chart for each statistic and layer; 'steps' adds one for each of its time steps.

    Returns:
        {tag: number}; TensorBoard groups tags by what comes before the first slash, here the statistic.

    Example:
        >>> charts({'iter': 1, 'layers': {'lif': {'beta': [0.5, 1.0], 'sgv': None}}})
        {'width/mean': 0.75, 'width/min': 0.5, 'width/max': 1.0}
    """
    values: dict[str, list[float]] = {}
    details: dict[str, float] = {}
    for layer, statistics in record['layers'].items():
        for key, value in statistics.items():
            title = _TITLES.get(key, key)
            steps = value if isinstance(value, list) else [value]
            known = [x for x in steps if x is not None]
            values.setdefault(title, []).extend(known)
            if detail != 'network' and known:
                details[f'{title}/{layer}'] = fmean(known)
            if detail == 'steps' and isinstance(value, list):
                details |= {f'{title}/{layer}/t{t}': x for t, x in enumerate(value, 1) if x is not None}
    scalars = {f'{title}/mean': fmean(known) for title, known in values.items() if known}
    if values.get('width'):
        scalars |= {'width/min': min(values['width']), 'width/max': max(values['width'])}
    scalars |= {f'on_bound/{kind}': x for kind, x in record.get('on_bound', {}).items() if x is not None}
    return scalars | details


def summary_line(name: str, record: dict) -> str:
    """A record in one line of text: mean width with its range, share of searches on a bound, SGV, TGC, firing rate.

    Args:
        name: of the policy.
        record: see the module.

    Example:
        >>> summary_line('A2SG', {'iter': 1, 'layers': {'lif': {'beta': [0.5, 1.0], 'rate': 0.1}}})
        'A2SG: width 0.75 (0.5 to 1), rate 0.1'
    """
    found = charts(record)
    parts = []
    if 'width/mean' in found:
        parts.append(f'width {found["width/mean"]:.3g} ({found["width/min"]:.3g} to {found["width/max"]:.3g})')
    on_bound = {key.removeprefix('on_bound/'): x for key, x in found.items() if key.startswith('on_bound/')}
    if on_bound:
        parts.append('on a bound ' + ' and '.join(f'{x:.0%} of {kind} searches' for kind, x in on_bound.items()))
    for key, title in (('sgv', 'SGV'), ('tgc', 'TGC'), ('rate', 'rate')):
        if math.isfinite(found.get(f'{key}/mean', math.nan)):
            parts.append(f'{title} {found[f"{key}/mean"]:.3g}')
    return f'{name}: ' + (', '.join(parts) or 'no gradient reached a layer')
