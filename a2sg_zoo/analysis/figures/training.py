"""Figures of how quantities change during training."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import new_figure, series_styles, short_name, tidy
from a2sg_zoo.errors import A2SGError

Curve = tuple[Sequence[int], Sequence[float | None]]


def method_figure(curves: Mapping[str, Sequence[Curve]], statistic: str, title: str = '') -> Figure:
    """Draw a statistic over training, a line for each method: the mean of its runs, in a band from least to most.

    The axis is logarithmic where all means are positive and the largest exceeds 30 times the smallest.

    Args:
        curves: {method: [(iterations, values)]}, one pair for each run, as `variation.curve` gives it. A value of None
            leaves a gap.
        statistic: name of the statistic, for the axis.
        title: title of the figure.
    """
    figure = new_figure()
    axes = tidy(figure.add_subplot(), xlabel='iteration', ylabel=statistic, title=title)
    draw_curves(axes, curves)
    axes.legend(frameon=False)
    return figure


def draw_curves(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw the lines of `method_figure` into axes, without a legend.

    Args:
        axes: axes to draw into.
        curves: see `method_figure`.
    """
    means: list[float] = []
    for (method, runs), style in zip(curves.items(), series_styles()):
        at: dict[int, list[float]] = {}
        for iterations, values in runs:
            for i, value in zip(iterations, values):
                if value is not None:
                    at.setdefault(i, []).append(value)
        x = sorted(at)
        mean = [sum(at[i]) / len(at[i]) for i in x]
        axes.plot(x, mean, label=method, markersize=4, markevery=max(1, len(x) // 12), **style)
        means += mean
        if len(runs) > 1:
            low, high = [min(at[i]) for i in x], [max(at[i]) for i in x]
            axes.fill_between(x, low, high, color=style['color'], alpha=0.15, linewidth=0)
    if means and min(means) > 0 and max(means) > 30 * min(means):
        axes.set_yscale('log')


def beta_figure(records: Sequence[dict], title: str = '') -> Figure:
    """Draw the widths over training: a row for every layer and time step, a column for every record of the log.

    Args:
        records: from `read_adaptation_log`.
        title: title of the figure.

    Raises:
        A2SGError: no record has a layer.
    """
    records = [record for record in records if record['layers']]
    if not records:
        raise A2SGError('the log has no layers, so there are no widths to draw')
    rows = [(layer, t) for layer, stats in records[-1]['layers'].items() for t in range(len(stats['beta']))]
    steps = max(t for _, t in rows) + 1
    values = np.array(
        [[_at(record['layers'].get(layer, {}).get('beta'), t) for record in records] for layer, t in rows]
    )
    figure = new_figure(9, min(14, 1.8 + 0.09 * len(rows) + 0.02 * len(rows) / steps))
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(values), aspect='auto', interpolation='nearest', cmap='viridis')
    layers = list(dict.fromkeys(layer for layer, _ in rows))
    starts = [rows.index((layer, 0)) for layer in layers]
    counts = [sum(name == layer for name, _ in rows) for layer in layers]
    centres = [start + (count - 1) / 2 for start, count in zip(starts, counts)]
    axes.set_yticks(centres, [short_name(layer) for layer in layers], fontsize=6)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color='white', linewidth=0.8)
    ticks = np.unique(np.linspace(0, len(records) - 1, 8).round().astype(int))
    axes.set_xticks(ticks, [records[i]['iter'] for i in ticks])
    axes.set(xlabel='iteration', title=title or f'width of every layer; in a layer t = 1 (top) to {steps} (bottom)')
    figure.colorbar(image, ax=axes, label='width beta')
    return figure


def _at(values, t):
    if not values or t >= len(values) or values[t] is None:
        return math.nan
    return values[t]
