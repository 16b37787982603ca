"""Figures of several runs side by side; a method has the same colour and marker in all figures of a group."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2sg_zoo.analysis.compare.groups import Group, spearman
from a2sg_zoo.analysis.compare.tables import SHARPNESS
from a2sg_zoo.analysis.figures.layers import layer_figure
from a2sg_zoo.analysis.figures.style import new_figure, series_styles, tidy
from a2sg_zoo.analysis.figures.training import Curve, method_figure
from a2sg_zoo.utils.palette import GREY

_STATISTICS = dict(cv='CV of local gradients', sgv='SGV', tgc='TGC')


def group_figures(group: Group) -> dict[str, Figure]:
    """Draw everything that was measured on the runs of a group.

    Returns:
        {stem of the file: figure}.
    """
    figures = {}
    for name, label in _STATISTICS.items():
        curves = training_curves(group, name)
        if any(x is not None for runs in curves.values() for _, values in runs for x in values):
            figures[name] = method_figure(
                curves, label, f'{group.title}: mean over layers and time steps, band over runs'
            )
    shown = {
        measure: head
        for measure, head in SHARPNESS.items()
        if any(entry.values.get(measure) is not None for entry in group.entries)
    }
    if shown:
        figures['sharpness'] = points_figure(group, shown)
        if any(entry.values.get('test_error') is not None for entry in group.entries):
            figures['sharpness_error'] = correlation_figure(group, shown)
    if any('fisher' in entry.sections for entry in group.entries):
        figures['fisher_layers'] = layer_figure(_layer_means(group), 'largest Fisher eigenvalue', group.title)
    if any('landscape' in entry.sections for entry in group.entries):
        figures['landscape'] = landscapes_figure(group)
    return figures


def training_curves(group: Group, statistic: str) -> dict[str, list[Curve]]:
    """Return the curves of a statistic over training for `method_figure`.

    Args:
        group: runs of the same network on the same samples.
        statistic: 'cv', 'sgv', 'tgc' or 'variance'.
    """
    return {
        method: [curves[statistic] for entry in entries if (curves := entry.sections['training']['curves'])]
        for method, entries in group.methods.items()
    }


def _layer_means(group):
    means = {}
    for method, entries in group.methods.items():
        found = [entry.sections['fisher']['eigenvalues'] for entry in entries if 'fisher' in entry.sections]
        means[method] = {layer: sum(x[layer] for x in found) / len(found) for layer in found[0]} if found else {}
    return means


def _panels(measures, bottom):
    """A figure with a panel for each measure, at most four in a row.

    Returns (figure, [(measure, head, axes, whether the panel is the first of its row)]).
    """
    columns = min(4, len(measures))
    rows = -(-len(measures) // columns)
    figure = new_figure(3.3 * columns + 0.5, (2.7 + bottom) * rows + 0.6)
    return figure, [
        (measure, head, tidy(figure.add_subplot(rows, columns, i + 1)), i % columns == 0)
        for i, (measure, head) in enumerate(measures.items())
    ]


def _spans_a_decade(values):
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def points_figure(group: Group, measures: Mapping[str, str]) -> Figure:
    """Draw a panel for each measure, with a point for each run and a bar at the mean of each method.

    Args:
        group: runs of the same network on the same samples.
        measures: {measure: title of its panel}.
    """
    figure, panels = _panels(measures, 0.8)
    for measure, head, axes, _ in panels:
        draw_points(axes, group, measure)
        axes.set_title(head, fontsize=8)
    figure.suptitle(f'{group.title}: a point for each run, a bar at the mean', fontsize=10)
    return figure


def draw_points(axes: Axes, group: Group, measure: str) -> None:
    """Draw a point for each run and a bar at the mean of each method.

    Args:
        axes: axes to draw into.
        group: runs of the same network on the same samples.
        measure: key of the entries' values.
    """
    found = []
    for i, ((_, entries), style) in enumerate(zip(group.methods.items(), series_styles())):
        values = [value for entry in entries if (value := entry.values.get(measure)) is not None]
        found += values
        spread = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.scatter(i + spread, values, color=style['color'], marker=style['marker'], s=28)
        if values:
            axes.plot([i - 0.28, i + 0.28], [sum(values) / len(values)] * 2, color=style['color'], linewidth=2)
    if _spans_a_decade(found):
        axes.set_yscale('log')
    axes.set_xticks(
        range(len(group.methods)), list(group.methods), rotation=40, ha='right', rotation_mode='anchor', fontsize=8
    )
    axes.set_xlim(-0.6, len(group.methods) - 0.4)
    axes.tick_params(axis='y', which='both', labelsize=7)


def correlation_figure(group: Group, measures: Mapping[str, str]) -> Figure:
    """Draw the test error over each measure of sharpness, a point for each run, with the rank correlation as title.

    Args:
        group: runs of the same network on the same samples.
        measures: {measure: name of its axis}.
    """
    figure, panels = _panels(measures, 0.3)
    for measure, head, axes, first in panels:
        found, x = spearman(group, measure), []
        for (method, entries), style in zip(group.methods.items(), series_styles()):
            pairs = [
                (entry.values[measure], entry.values['test_error'])
                for entry in entries
                if entry.values.get(measure) is not None and entry.values.get('test_error') is not None
            ]
            x += [a for a, _ in pairs]
            axes.scatter(
                [a for a, _ in pairs],
                [b for _, b in pairs],
                color=style['color'],
                marker=style['marker'],
                s=30,
                label=method,
            )
        if _spans_a_decade(x):
            axes.set_xscale('log')
        axes.set_xlabel(head, fontsize=8)
        axes.set_title(
            'rank correlation undefined' if found['rho'] is None else f'rho = {found["rho"]:.2f}, n = {found["n"]}',
            fontsize=9,
        )
        axes.tick_params(which='both', labelsize=7)
        if first:
            axes.set_ylabel('test error, %')
    figure.legend(
        *panels[0][2].get_legend_handles_labels(), loc='outside lower center', ncols=6, frameon=False, fontsize=8
    )
    figure.suptitle(group.title, fontsize=10)
    return figure


def landscapes_figure(group: Group) -> Figure:
    """Draw how the loss increases along random directions that are normalised filter by filter.

    Directions are the same for all runs, and the curves are means over directions. A line is the mean of a method's
    runs, in a band from the least to the greatest.

    Args:
        group: runs of the same network on the same samples.
    """
    figure = new_figure()
    axes = tidy(
        figure.add_subplot(),
        xlabel="step along a random direction, in units of each filter's norm",
        ylabel='loss - loss at 0',
        title=group.title,
    )
    draw_landscapes(axes, group)
    axes.legend(frameon=False)
    return figure


def draw_landscapes(axes: Axes, group: Group) -> None:
    """Draw the lines of `landscapes_figure` into axes, without a legend.

    Args:
        axes: axes to draw into.
        group: runs of the same network on the same samples.
    """
    for (method, entries), style in zip(group.methods.items(), series_styles()):
        curves = [_increase(entry.sections['landscape']) for entry in entries if 'landscape' in entry.sections]
        if not curves:
            continue
        x, y = np.array(curves[0][0]), np.array([values for _, values in curves])
        axes.plot(x, y.mean(0), label=method, markersize=4, markevery=2, **style)
        axes.fill_between(x, y.min(0), y.max(0), color=style['color'], alpha=0.13, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.8)


def _increase(data):
    """(x, loss minus the loss at the point nearest to 0), with gaps where the loss is not finite."""
    nearest = min(range(len(data['x'])), key=lambda i: abs(data['x'][i]))
    start = data['loss'][nearest]
    return data['x'], [math.nan if loss is None or start is None else loss - start for loss in data['loss']]
