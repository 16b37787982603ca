"""Figures with one point, or one line over the time steps, for each layer of a network."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import label_layers, new_figure, positive_or_gap, series_styles, short_name, tidy
from a2sg_zoo.analysis.measures.bridge import BridgeRow, shared_constant


def layer_figure(
    values: Mapping[str, Mapping[str, float | None]], ylabel: str = 'largest eigenvalue', title: str = ''
) -> Figure:
    """Draw a quantity of every layer on a log axis, with one series for each method.

    Args:
        values: {method: {layer: number or None}}, layers in the network's order. Zeros and None leave gaps.
        ylabel: name and unit of the quantity.
        title: title of the figure.
    """
    layers = list(dict.fromkeys(layer for of_method in values.values() for layer in of_method))
    figure = new_figure(max(6, 0.34 * len(layers) + 2), 5)
    axes = tidy(figure.add_subplot(), ylabel=ylabel, title=title, yscale='log')
    for (method, of_method), style in zip(values.items(), series_styles()):
        heights = positive_or_gap(of_method.get(layer) for layer in layers)
        axes.plot(range(len(layers)), heights, label=method, markersize=5, **style)
    label_layers(axes, layers)
    if len(values) > 1:
        axes.legend(frameon=False)
    return figure


def time_figure(values: Mapping[str, Sequence[float | None]], ylabel: str, title: str = '') -> Figure:
    """Draw a quantity of every layer over the time steps, a line for each layer.

    Args:
        values: {layer: [number or None for t = 1, 2, ...]}. None leaves a gap.
        ylabel: name and unit of the quantity.
        title: title of the figure.

    Example:
        >>> from a2sg_zoo.analysis.figures.layers import time_figure
        >>> figure = time_figure({'layers.0.neuron': [0.2, 0.9, None], 'layers.1.neuron': [0.1, 0.8, None]}, 'TGC')
        >>> len(figure.axes[0].lines)
        2
    """
    figure = new_figure()
    axes = tidy(figure.add_subplot(), xlabel='time step t', ylabel=ylabel, title=title)
    for (layer, of_layer), style in zip(values.items(), series_styles()):
        heights = [math.nan if value is None else value for value in of_layer]
        every = max(1, len(heights) // 12)
        axes.plot(range(1, len(heights) + 1), heights, label=short_name(layer), markersize=4, markevery=every, **style)
    if len(values) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=1 + len(values) // 12)
    return figure


def bridge_figure(rows: Sequence[BridgeRow], title: str = '') -> Figure:
    """Draw both sides of the CV-curvature bridge for every layer.

    Args:
        rows: from `cv_curvature_bridge`.
        title: title of the figure.
    """
    constant = shared_constant(rows)
    return layer_figure(
        {
            'measured eigenvalue of F': {row.layer: row.measured for row in rows},
            f'claim, c = {constant:.3g} Λ for all layers': {row.layer: row.claimed(constant) for row in rows},
            'bound without a constant': {row.layer: row.triangle for row in rows},
            'rank-one part, mu² Λ': {row.layer: row.rank_one for row in rows},
        },
        'largest eigenvalue',
        title,
    )
