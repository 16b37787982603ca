"""What a policy did, written down: a file of JSON lines, charts, and a line of text.

A record is the plain data of one log point:

    {"iter": 100, "layers": {NAME: {"beta": [T], "sgv": x, "tgc": [T - 1], "cv": [T], "rate": x,
                                    "u_mean": [T], "u_std": [T]}},
     "on_bound": {"spatial": share, "temporal": share}}
"""

import math
from statistics import fmean

CHARTS = ('network', 'layers', 'steps')
_TITLES = {'beta': 'width'}


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
        parts.append(' and '.join(f'{x:.0%} of {kind}' for kind, x in on_bound.items()) + ' searches on a bound')
    for key, title in (('sgv', 'SGV'), ('tgc', 'TGC'), ('rate', 'rate')):
        if math.isfinite(found.get(f'{key}/mean', math.nan)):
            parts.append(f'{title} {found[f"{key}/mean"]:.3g}')
    return f'{name}: ' + (', '.join(parts) or 'no gradient reached a layer')
