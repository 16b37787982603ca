"""Figures with one point for each layer of a network."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import label_layers, new_figure, positive_or_gap, series_styles, tidy
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
