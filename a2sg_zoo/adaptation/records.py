"""What was seen in the layers of a network in one training step, written down: plain data, charts, a line of text.

A record is the plain data of one log point:

    {"iter": 100, "layers": {NAME: {"beta": [T], "sgv": x, "tgc": [T - 1], "cv": [T], "rate": x,
                                    "u_mean": [T], "u_std": [T]}},
     "on_bound": {"spatial": share, "temporal": share}}
"""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

CHARTS = ('network', 'layers', 'steps')
_TITLES = {'beta': 'width'}


def plain(layers: Mapping[str, Mapping[str, Tensor | None]], scale: float = 1.0) -> dict[str, dict[str, Any]]:
    """Statistics of layers as plain data, with a single copy to the host; None where a number is not finite.

    Args:
        layers: {name: {statistic: tensor of no or one axis, or None}}.
        scale: the factor of the loss, by which SGV is divided.

    >>> plain({'lif': dict(sgv=torch.tensor(2.0), cv=torch.tensor([1.0, torch.nan]))}, scale=4.0)
    {'lif': {'sgv': 0.5, 'cv': [1.0, None]}}
    """
    tensors = [
        (x / scale if key == 'sgv' else x).flatten()
        for record in layers.values()
        for key, x in record.items()
        if x is not None
    ]
    values = iter(v if math.isfinite(v) else None for v in (torch.cat(tensors).tolist() if tensors else ()))
    return {
        name: {
            key: None if x is None else [next(values) for _ in range(len(x))] if x.dim() else next(values)
            for key, x in record.items()
        }
        for name, record in layers.items()
    }


def means(statistics: Mapping[str, Any]) -> dict[str, float | None]:
    """The statistics of a layer, with the mean over the time steps that have a value; None if none has.

    >>> means(dict(sgv=0.5, tgc=[0.5, None, 1.0], cv=[None]))
    {'sgv': 0.5, 'tgc': 0.75, 'cv': None}
    """
    return {key: fmean(known) if (known := _known(value)) else None for key, value in statistics.items()}


def _known(value):
    return [x for x in (value if isinstance(value, list) else [value]) if x is not None]


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
            known = _known(value)
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
        parts.append(' and '.join(f'{x:.0%} of {kind}' for kind, x in on_bound.items()) + ' searches on a bound')
    for key, title in (('sgv', 'SGV'), ('tgc', 'TGC'), ('rate', 'rate')):
        if math.isfinite(found.get(f'{key}/mean', math.nan)):
            parts.append(f'{title} {found[f"{key}/mean"]:.3g}')
    return f'{name}: ' + (', '.join(parts) or 'no gradient reached a layer')
