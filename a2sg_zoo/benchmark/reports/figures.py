"""The figures of a report as inline SVG, in the colour of the text around them, for light and dark pages.

Methods are told apart by their place and their name, never by colour alone, so that any number of them can be compared.
"""

import io
import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no window system, no global state

from a2sg_zoo.benchmark.reports.convergence import curve_metric, learning_curves
from a2sg_zoo.benchmark.reports.report import Table
from a2sg_zoo.benchmark.reports.statistics import over_seeds
from a2sg_zoo.utils.palette import BLUE, COLOURS, VERMILION

# stands for the page's colour of text until the SVG is written
_INK = '#010203'
_INKED: tuple[Any, ...] = ('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color')
_LOOK: dict[Any, Any] = {
    'font.size': 8,
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans', 'Arial'],
    'axes.titlesize': 8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.linewidth': 0.6,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'savefig.dpi': 100,
}
_PANELS = 5  # panels in a row
_LABELS = 12  # layers that a panel of widths names at most
# of lines that cross, which also have names; black cannot be seen on a dark page
_LINES = [colour for colour in COLOURS if colour not in (VERMILION, '#000000')]


def figures(table: Table, prefix: str) -> list[tuple[str, str]]:
    """Draw the figures of a table.

    They are scores beside costs, the curves of all methods beside their training accuracy, if that is known, the
    learning curves of each method, and the widths of the methods that adapt them.

    Args:
        table: the table.
        prefix: beginning of the ids in the SVGs, unique on a page.

    Returns:
        (caption, SVG) of each figure.
    """
    with matplotlib.rc_context({**dict.fromkeys(_INKED, _INK), **_LOOK, 'svg.hashsalt': prefix}):
        drawn = [*_scores(table), *_convergence(table), *_learning_curves(table), *_widths(table)]
        return [(caption, _svg(figure, f'{prefix}-{i}', caption)) for i, (caption, figure) in enumerate(drawn)]


def _svg(figure: Figure, prefix: str, caption: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format='svg', transparent=True, metadata=dict(Date=None, Creator=None))
    svg = file.getvalue().decode()
    svg = svg[svg.index('<svg') :].replace(_INK, 'currentColor')
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="|url\()#', rf'\1#{prefix}-', svg)
    svg = _shortened(svg)
    # the page sets the size; the viewBox keeps the proportions
    head, rest = svg.split('>', 1)
    width = re.search(r'\bwidth="([\d.]+)pt"', head)[1]
    head = re.sub(r'\b(width|height)="[^"]*"', '', head)
    return f'{head} role="img" aria-label="{escape(caption)}" style="max-width:{width}pt">{rest}'


def _shortened(svg: str) -> str:
    """The same picture in half the bytes: a tenth of a point is finer than a screen, and indentation is not needed."""
    numbers = re.compile(r'(?<=\.\d)\d+')
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: numbers.sub('', found[0]), svg)
    svg = re.sub(r' d="[^"]*"', lambda found: ' ' + ' '.join(found[0].split()), svg)
    return re.sub(r'>\s+<', '><', svg)


def _scores(table: Table) -> Iterator[tuple[str, Figure]]:
    """The mean score of each method with its interval, beside the time of its training step."""
    rows = [row for row in table.rows if row['mean'] is not None]
    if not rows:
        return
    figure = Figure(figsize=(7, 0.22 * len(rows) + 1), layout='constrained')
    scores, costs = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    for y, row in enumerate(rows):
        few = row['seeds_done'] < row['seeds_planned']
        look = dict(fmt='o', color=VERMILION if row['method'] == table.reference else BLUE, markersize=5, capsize=2)
        look['markerfacecolor'] = 'none' if few else look['color']
        error = None if row['ci_low'] is None else [[row['mean'] - row['ci_low']], [row['ci_high'] - row['mean']]]
        scores.errorbar(row['mean'], y, xerr=error, **look)
        if row['relative_cost'] is not None:
            costs.errorbar(row['relative_cost'], y, **look)
        if row['method'] == table.reference:
            scores.axvline(row['mean'], color=VERMILION, linestyle=':', linewidth=0.8, zorder=0)
            costs.axvline(1, color=VERMILION, linestyle=':', linewidth=0.8, zorder=0)
    scores.set_yticks(range(len(rows)), [_label(row) for row in rows])
    scores.set_ylim(len(rows) - 0.5, -0.5)
    for axis in (scores, costs):
        axis.tick_params(axis='y', length=0)
    scores.set_xlabel(f'{table.metric}, mean and 95 % interval')
    costs.set_xlabel(f'time of a step / {table.reference}')
    costs.set_xlim(0, 1.1 * max(row['relative_cost'] or 1 for row in rows))
    yield f'{table.network} on {table.dataset}: {table.metric}, and what training costs', figure


def _label(row: Mapping[str, Any]) -> str:
    few = row['seeds_done'] < row['seeds_planned']
    return row['method'] + (f' ({row["seeds_done"]} of {row["seeds_planned"]} seeds)' if few else '')


def _convergence(table: Table) -> Iterator[tuple[str, Figure]]:
    """The curves of all methods, named in the order of their ends, beside the ends and the training accuracy."""
    trained = {row['method']: row['train_top1'] for row in table.rows if row.get('train_top1') is not None}
    curves = learning_curves({method: table.results[method] for method in trained})
    if not curves:
        return
    name, order = curve_metric(table.results), sorted(curves, key=lambda method: curves[method][-1][1])
    figure = Figure(figsize=(7, max(0.17 * len(order) + 0.6, 2)), layout='constrained')
    lines, ends = figure.subplots(1, 2, width_ratios=(3, 2))
    for i, method in enumerate(order):
        x, mean, *_ = zip(*curves[method])
        place, colour = (i + 0.5) / len(order), VERMILION if method == table.reference else _LINES[i % len(_LINES)]
        lines.plot(x, mean, color=colour, linewidth=1.2 if method == table.reference else 0.7)
        lines.annotate(
            method,
            xy=(x[-1], mean[-1]),
            xytext=(1.12, place),
            textcoords='axes fraction',
            va='center',
            arrowprops=dict(arrowstyle='-', color=colour, linewidth=0.5, shrinkA=0, shrinkB=0, relpos=(0, 0.5)),
        )
        ends.plot([mean[-1], trained[method]], [place, place], color=colour, linewidth=0.6)
        ends.plot(mean[-1], place, 'o', color=colour, markersize=4)
        ends.plot(trained[method], place, 'o', color=colour, markersize=4, markerfacecolor='none')
    lines.set_xlabel('iteration')
    lines.set_ylabel(name)
    ends.set_xlabel(f'end: {name} (●), training top1 (○)')
    ends.set_ylim(0, 1)
    ends.set_yticks([])
    ends.spines['left'].set_visible(False)
    yield (
        f'{table.network} on {table.dataset}: {name} on validation data over training, mean over seeds, and its '
        'distance to the accuracy on training images',
        figure,
    )


def _learning_curves(table: Table) -> Iterator[tuple[str, Figure]]:
    """A panel for each method, with the reference in every panel."""
    for key, name in (('loss', 'training loss'), ('metric', f'{curve_metric(table.results)} on validation data')):
        curves = {
            method: curve
            for method, runs in table.results.items()
            if (curve := over_seeds([_curve(run, key) for run in runs.values()]))
        }
        if not curves:
            continue
        figure, panels = _panels(len(curves))
        for axis, (method, curve) in zip(panels, curves.items()):
            if table.reference in curves and method != table.reference:
                x, mean, *_ = zip(*curves[table.reference])
                axis.plot(x, mean, color=VERMILION, linewidth=0.8, linestyle='--')
            x, mean, least, greatest = zip(*curve)
            colour = VERMILION if method == table.reference else BLUE
            axis.fill_between(x, least, greatest, color=colour, alpha=0.2, linewidth=0)
            axis.plot(x, mean, color=colour, linewidth=1.2)
            axis.set_title(method)
        figure.supxlabel('iteration')
        figure.supylabel(name)
        yield (
            f'{table.network} on {table.dataset}: {name}, mean over seeds, and from the least to the greatest; dashed: '
            f'{table.reference}',
            figure,
        )


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, _PANELS)
    rows = -(-count // columns)
    figure = Figure(figsize=(1.5 * columns + 0.6, 1.15 * rows + 0.5), layout='constrained')
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis in axes[max(count - columns, 0) : count]:  # above an empty place of the last row, too
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


def _curve(run: Mapping[str, Any], key: str) -> list:
    return run['curves'].get(key) or []


def _widths(table: Table) -> Iterator[tuple[str, Figure]]:
    """The width of each layer and time step over training, for the methods that change it."""
    found = {method: grid for method, runs in table.results.items() if (grid := _width_grid(runs)) is not None}
    if not found:
        return
    steps = max(len(grids) for _, _, grids in found.values())
    figure = Figure(
        figsize=(min(1.6 * steps + 1.8, 9), sum(_panel_height(layers) for layers, *_ in found.values()) + 0.4),
        layout='constrained',
    )
    heights = [_panel_height(layers) for layers, *_ in found.values()]
    axes = figure.subplots(len(found), steps, squeeze=False, height_ratios=heights)
    values = np.concatenate([grid.ravel() for _, _, grids in found.values() for grid in grids])
    image = None
    for row, (method, (layers, iterations, grids)) in zip(axes, found.items()):
        for t, axis in enumerate(row):
            if t >= len(grids):
                axis.set_visible(False)
                continue
            image = axis.pcolormesh(
                iterations,
                range(len(layers)),
                grids[t],
                cmap='viridis',
                vmin=values.min(),
                vmax=values.max(),
                shading='nearest',
                rasterized=True,
            )
            axis.invert_yaxis()
            axis.label_outer()
            every = -(-len(layers) // _LABELS)
            axis.set_yticks(range(0, len(layers), every), layers[::every] if t == 0 else [])
            axis.tick_params(length=2)
            if axis.get_subplotspec().is_first_row():
                axis.set_title(f't = {t + 1}')
        row[0].set_ylabel(method)
    figure.supxlabel('iteration')
    figure.colorbar(image, ax=axes, label='beta', shrink=min(1, 2 / figure.get_figheight()))
    yield (
        f'{table.network} on {table.dataset}: width beta of each layer (rows) and time step (columns) over training, '
        'mean over seeds',
        figure,
    )


def _panel_height(layers: Sequence[str]) -> float:
    return 0.11 * min(len(layers), _LABELS) + 0.35


def _width_grid(runs: Mapping[int, Any]) -> tuple[list[str], list[float], list[np.ndarray]] | None:
    """(layers, iterations, [width (layer, iteration) of each time step]), means over seeds; None if no width moves."""
    curves: list[Any] = [_curve(run, 'beta') or {} for run in runs.values()]
    layers = [name for name in next(iter(curves), {}) if all(c.get(name) for c in curves)]
    if len({beta for c in curves for name in layers for _, betas in c[name] for beta in betas}) < 2:
        return None
    iterations = sorted(set.intersection(*({x for x, _ in c[name]} for c in curves for name in layers)))
    steps = min(len(betas) for c in curves for name in layers for _, betas in c[name])
    if not iterations or not steps:
        return None
    # (seed, layer, iteration, time step)
    grid = np.array([[[dict(c[name])[x][:steps] for x in iterations] for name in layers] for c in curves], float)
    start = os.path.commonprefix(layers).rfind('.') + 1 if len(layers) > 1 else 0
    return [name[start:] for name in layers], iterations, list(np.moveaxis(grid.mean(0), -1, 0))
