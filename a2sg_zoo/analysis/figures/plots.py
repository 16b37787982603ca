"""Pictures of the measures: one function each, which returns a matplotlib figure; `save` writes it.

Colours are those of Okabe and Ito and of matplotlib's viridis, which people with a colour vision deficiency tell
apart; series differ in marker and line style too.
"""

import io
import itertools
import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from a2sg_zoo.analysis.measures.bridge import shared_constant
from a2sg_zoo.analysis.measures.theory import asy, condition, random_cases, shape_cv, tri
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.hub.files import write_atomically

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#8C8C00')
_MARKERS, _LINES = 'osD^vPX*', ('-', '--', '-.', ':')
_GREY = '#666666'
_MAX_ROWS = 60


def save(figure, stem, kinds=('png', 'svg')):
    """Writes STEM.png and STEM.svg; returns their paths."""
    paths = []
    for kind in kinds:
        data = io.BytesIO()
        # the same figure gives the same file: no date, and no random names
        with matplotlib.rc_context({'svg.hashsalt': 'a2sg_zoo', 'svg.fonttype': 'none'}):
            figure.savefig(data, format=kind, dpi=150, metadata={'Date': None} if kind == 'svg' else None)
        paths.append(Path(f'{stem}.{kind}'))
        write_atomically(data.getvalue(), paths[-1])
    return paths


def to_tensorboard(figures, folder):
    """Writes {stem: figure} into an event file in `folder`, as images analysis/STEM."""
    from torch.utils.tensorboard import SummaryWriter  # takes a second, which only this option shall cost

    with SummaryWriter(str(folder)) as writer:
        for stem, figure in figures.items():
            writer.add_figure(f'analysis/{stem}', figure)


def _figure(width=8, height=4.5):
    return Figure(figsize=(width, height), layout='constrained')


def _tidy(axes, **labels):
    axes.set(**labels)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    return axes


def _styles():
    return (
        {'color': c, 'marker': m, 'linestyle': line}
        for c, m, line in zip(itertools.cycle(COLOURS), itertools.cycle(_MARKERS), itertools.cycle(_LINES))
    )


def _positive(values):
    """For a log axis: what is None, zero or NaN leaves a gap."""
    return [v if v is not None and v > 0 else math.nan for v in values]


def landscape_figure(landscape, title=''):
    """A curve of loss and accuracy for one direction; contours and a surface of the loss for two."""
    loss = landscape.grid().numpy()
    if len(landscape.y) == 1:
        figure = _figure()
        axes = _tidy(figure.add_subplot(), xlabel='step along the direction', ylabel='loss', title=title)
        axes.plot(landscape.x, loss[0], color=COLOURS[0], marker='o', markersize=3, label='loss')
        accuracy = landscape.grid('accuracy').numpy()[0]
        if np.isfinite(accuracy).any():
            twin = axes.twinx()
            twin.plot(landscape.x, 100 * accuracy, color=COLOURS[1], linestyle='--', marker='s', markersize=3)
            twin.set_ylabel('accuracy, % (dashed)', color=COLOURS[1])
        axes.axvline(0, color=_GREY, linewidth=0.8)
        return figure
    if not np.isfinite(loss).any():
        raise A2SGError('the loss is not finite at any point of the landscape: there is nothing to draw')
    figure = _figure(11, 4.8)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection='3d')
    X, Y = np.meshgrid(landscape.x, landscape.y)
    shown = np.ma.masked_invalid(loss)
    wide = loss[np.isfinite(loss)].min() > 0 and shown.max() > 20 * shown.min()
    levels = (
        np.geomspace(shown.min(), shown.max(), 16)
        if wide
        else np.linspace(shown.min(), max(shown.max(), shown.min() + 1e-12), 16)
    )
    filled = left.contourf(X, Y, shown, levels=levels, cmap='viridis', norm=LogNorm() if wide else None)
    lines = left.contour(X, Y, shown, levels=levels[1::2], colors='white', linewidths=0.6)
    left.clabel(lines, fmt='%.4g', fontsize=7)
    left.plot(0, 0, marker='+', color='white', markersize=10)
    left.set(xlabel='direction 1', ylabel='direction 2', title=title, aspect='equal')
    bar = figure.colorbar(filled, ax=left, label='loss', format='%.4g')
    bar.ax.minorticks_off()
    height = np.log10(shown) if wide else shown
    right.plot_surface(X, Y, height.filled(np.nan), cmap='viridis', linewidth=0, antialiased=True)
    right.set(xlabel='direction 1', ylabel='direction 2')
    right.set_zlabel('log10 loss' if wide else 'loss')
    right.locator_params(nbins=4)
    right.tick_params(labelsize=8)
    right.set_box_aspect((1, 1, 0.7), zoom=0.85)
    return figure


def layer_figure(values, ylabel='largest eigenvalue', title=''):
    """A quantity of every layer on a log axis, a series for each method.

    Args:
        values: {method: {layer: number or None}}; layers in the network's order. Zeros and None leave gaps.
    """
    layers = list(dict.fromkeys(layer for of_method in values.values() for layer in of_method))
    figure = _figure(max(6, 0.34 * len(layers) + 2), 5)
    axes = _tidy(figure.add_subplot(), ylabel=ylabel, title=title, yscale='log')
    for (method, of_method), style in zip(values.items(), _styles()):
        axes.plot(
            range(len(layers)),
            _positive([of_method.get(layer) for layer in layers]),
            label=method,
            markersize=5,
            **style,
        )
    axes.set_xticks(
        range(len(layers)),
        [_short(layer) for layer in layers],
        rotation=60,
        ha='right',
        rotation_mode='anchor',
        fontsize=7,
    )
    if len(values) > 1:
        axes.legend(frameon=False)
    return figure


def _short(layer):
    for prefix in ('backbone.', 'decode_head.'):
        layer = layer.removeprefix(prefix)
    return layer if len(layer) <= 32 else '...' + layer[-29:]


def bridge_figure(rows, title=''):
    """Both sides of the CV-curvature bridge, layer by layer; `rows` as of `analysis.bridge.bridge`."""
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


def method_figure(curves, statistic, title=''):
    """A statistic over training, a line for each method: the mean over its runs, and a band from least to greatest.

    Args:
        curves: {method: [(iterations, values), ...]}, one a run, as of `variation.curve`.
        statistic: its name.
    """
    figure = _figure()
    axes = _tidy(figure.add_subplot(), xlabel='iteration', ylabel=statistic, title=title)
    for (method, runs), style in zip(curves.items(), _styles()):
        at = {}
        for iterations, values in runs:
            for i, value in zip(iterations, values):
                if value is not None:
                    at.setdefault(i, []).append(value)
        x = sorted(at)
        axes.plot(
            x, [sum(at[i]) / len(at[i]) for i in x], label=method, markersize=4, markevery=max(1, len(x) // 12), **style
        )
        if len(runs) > 1:
            axes.fill_between(
                x, [min(at[i]) for i in x], [max(at[i]) for i in x], color=style['color'], alpha=0.15, linewidth=0
            )
    if (
        all(v > 0 for line in axes.lines for v in line.get_ydata())
        and axes.lines
        and max(max(line.get_ydata(), default=1) for line in axes.lines)
        > 30 * min(min(line.get_ydata(), default=1) for line in axes.lines)
    ):
        axes.set_yscale('log')
    axes.legend(frameon=False)
    return figure


def beta_figure(records, title=''):
    """Windows over training: a row for every layer and time step, a column for every record of the log."""
    records = [record for record in records if record['layers']]
    if not records:
        raise A2SGError('the log holds no layers: there are no windows to draw')
    rows = [(layer, t) for layer, stats in records[-1]['layers'].items() for t in range(len(stats['beta']))]
    steps = max(t for _, t in rows) + 1
    values = np.array(
        [[_at(record['layers'].get(layer, {}).get('beta'), t) for record in records] for layer, t in rows]
    )
    figure = _figure(9, min(14, 1.8 + 0.09 * len(rows) + 0.02 * len(rows) / steps))
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(values), aspect='auto', interpolation='nearest', cmap='viridis')
    layers = list(dict.fromkeys(layer for layer, _ in rows))
    starts = [rows.index((layer, 0)) for layer in layers]
    counts = [sum(name == layer for name, _ in rows) for layer in layers]
    axes.set_yticks([start + (count - 1) / 2 for start, count in zip(starts, counts)], map(_short, layers), fontsize=6)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color='white', linewidth=0.8)
    ticks = np.unique(np.linspace(0, len(records) - 1, 8).round().astype(int))
    axes.set_xticks(ticks, [records[i]['iter'] for i in ticks])
    axes.set(xlabel='iteration', title=title or f'window of every layer; within a layer t = 1 (top) to {steps}')
    figure.colorbar(image, ax=axes, label='beta')
    return figure


def _at(values, t):
    if not values or t >= len(values) or values[t] is None:
        return math.nan
    return values[t]


def raster_figure(spikes, neurons=40, seed=0, title=''):
    """Spikes of one sample: a panel for each layer, `neurons` of its neurons drawn at random, time to the right.

    Args:
        spikes: {layer: (T, elements)}, from `variation.spikes_of`.
    """
    layers = list(spikes)[:_MAX_ROWS]
    columns = min(4, len(layers))
    figure = _figure(2.4 * columns + 0.6, 1.75 * -(-len(layers) // columns) + 0.5)
    generator = np.random.default_rng(seed)
    for k, layer in enumerate(layers):
        axes = figure.add_subplot(-(-len(layers) // columns), columns, k + 1)
        s = spikes[layer].numpy()
        T, elements = s.shape
        chosen = np.sort(generator.choice(elements, min(neurons, elements), replace=False))
        t, n = np.nonzero(s[:, chosen])
        axes.scatter(t + 1, n, marker='|', s=180 / len(chosen) + 8, color=COLOURS[0], linewidths=1.6)
        axes.set(xlim=(0.5, T + 0.5), ylim=(-1, len(chosen)), yticks=[])
        axes.set_xticks(range(1, T + 1) if T <= 10 else [1, T])
        axes.set_title(f'{_short(layer)}\nrate {s.mean():.3f}', fontsize=7)
        axes.tick_params(labelsize=7)
        if k + columns >= len(layers):
            axes.set_xlabel('t', fontsize=8)
    figure.suptitle(title or f'Spikes of one sample, up to {neurons} neurons a layer', fontsize=10)
    return figure


def growth_figure(growths, title=''):
    """Spectral norms of the Hessian over 1 / beta, with fitted lines; ReLU's as a level.

    Args:
        growths: {shape: Growth}.
    """
    figure = _figure()
    axes = _tidy(
        figure.add_subplot(),
        xlabel='1 / beta',
        ylabel='spectral norm of the Hessian',
        title=title,
        xscale='log',
        yscale='log',
    )
    for (name, growth), style in zip(growths.items(), _styles()):
        x = 1 / np.array(growth.betas)
        axes.plot(
            x,
            growth.snn,
            markersize=5,
            label=f'{name}: exponent {growth.exponent:.2f}',
            **{**style, 'linestyle': 'none'},
        )
        logs = np.log(growth.snn)
        axes.plot(
            x,
            np.exp(logs.mean() + growth.exponent * (np.log(x) - np.log(x).mean())),
            color=style['color'],
            linestyle=style['linestyle'],
            linewidth=1,
        )
    first = next(iter(growths.values()))
    axes.axhline(first.relu, color=_GREY, linestyle=':', label='ReLU network')
    x = 1 / np.array(first.betas)
    axes.plot(x, first.snn[-1] * (x / x[-1]) ** 2, color=_GREY, linewidth=0.8, label='claimed slope 2')
    axes.legend(frameon=False)
    return figure


def theory_figure(layers=(), cases=1500, biases=(0.5, 0.6, 1.0), seed=0, title='Theorem 4.2, exact Gaussian'):
    """CV_asy / CV_tri over L kappa / sigma^2 for random cases, and, as rings, for layers of a network.

    Args:
        layers: rows of `theory.layers_under_theory`, with the same biases.
        cases, seed: see `theory.random_cases`.
        biases: values of h.
    """
    drawn = random_cases(cases, seed)
    x, reference = condition(*drawn), shape_cv(tri, *drawn)
    figure = _figure()
    axes = _tidy(figure.add_subplot(), xlabel='L kappa / sigma²', ylabel='CV of ASY / CV of TRI', title=title)
    for h, style in zip(biases, _styles()):
        axes.scatter(
            x,
            shape_cv(asy(h), *drawn) / reference,
            s=4,
            color=style['color'],
            marker=style['marker'],
            label=f'h = {h:g}',
            linewidths=0,
            alpha=0.6,
        )
        found = [
            (row['ratio'], row['cv_asy'][h] / row['cv_tri'])
            for row in layers
            if row['ratio'] is not None and row['cv_asy'].get(h) is not None and row['cv_tri']
        ]
        if found:
            axes.scatter(*zip(*found), s=40, facecolors='none', edgecolors=style['color'])
    axes.axhline(1, color=_GREY, linewidth=0.8)
    axes.axvline(1, color=_GREY, linewidth=0.8, linestyle='--')
    axes.set(xscale='symlog', ylim=(0, 2))
    axes.legend(frameon=False, markerscale=3, title='right of the dashed line:\nthe condition holds', title_fontsize=8)
    return figure
