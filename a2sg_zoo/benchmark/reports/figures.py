"""Figures of a report as inline SVG, which takes the colour of the text around it, in light and in dark pages."""

import io
import os.path
import re
import statistics
from html import escape

# Okabe and Ito's colours, told apart by colour-blind readers too, without black and yellow, which one of a light and
# a dark page would swallow
COLOURS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9']
MARKERS = 'osD^vPX*<>hd'
LINES = ['-', '--', '-.', ':']
# stands for the page's colour of text until the SVG is written
_INK = '#010203'
_INKED = ('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color')
_LOOK = {
    'font.size': 9,
    'axes.titlesize': 9,
    'axes.grid': True,
    'grid.color': '#88888880',
    'grid.linewidth': 0.4,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'svg.fonttype': 'none',
}


def style(i):
    """Colour, line and marker of the i-th method; no two of the first 24 agree in colour and line."""
    return dict(
        color=COLOURS[i % len(COLOURS)],
        linestyle=LINES[i // len(COLOURS) % len(LINES)],
        marker=MARKERS[i % len(MARKERS)],
    )


def figures(table, prefix):
    """[(caption, SVG)] of a table: accuracy against cost, learning curves, and beta for the methods that adapt it.

    Args:
        prefix: of the ids in the SVGs; unique on a page.
    """
    import matplotlib

    with matplotlib.rc_context({**dict.fromkeys(_INKED, _INK), **_LOOK, 'svg.hashsalt': prefix}):
        drawn = [_accuracy_against_cost(table), *_learning_curves(table)]
        drawn += [_windows(method, runs) for method, runs in table.results.items()]
        return [
            (caption, _svg(figure, f'{prefix}-{i}', caption))
            for i, (caption, figure) in enumerate(item for item in drawn if item)
        ]


def _subplots(columns=1, width=7.0, height=3.8, **kwargs):
    # not pyplot: no window system, no global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots(1, columns, squeeze=False, **kwargs)[0]


def _svg(figure, prefix, caption):
    file = io.BytesIO()
    figure.savefig(file, format='svg', transparent=True, metadata=dict(Date=None, Creator=None))
    svg = file.getvalue().decode()
    svg = svg[svg.index('<svg') :].replace(_INK, 'currentColor')
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="|url\()#', rf'\1#{prefix}-', svg)
    # the page sets the size; the viewBox keeps the proportions
    head, rest = svg.split('>', 1)
    width = re.search(r'\bwidth="([\d.]+)pt"', head)[1]
    head = re.sub(r'\b(width|height)="[^"]*"', '', head)
    label = escape(caption)
    return f'{head} role="img" aria-label="{label}" style="max-width:{width}pt">{rest}'


def _legend(figure, handles, labels):
    figure.legend(handles, labels, loc='outside right upper', fontsize=8)


def _accuracy_against_cost(table):
    rows = [(i, r) for i, r in enumerate(table.rows) if r['mean'] is not None and r['relative_cost'] is not None]
    if not rows:
        return None
    figure, (axis,) = _subplots()
    for i, row in rows:
        look = style(i)
        error = None if row['ci_low'] is None else [[row['mean'] - row['ci_low']], [row['ci_high'] - row['mean']]]
        few = row['seeds_done'] < row['seeds_planned']
        axis.errorbar(
            row['relative_cost'],
            row['mean'],
            error,
            fmt=look['marker'],
            color=look['color'],
            capsize=3,
            markersize=6,
            markerfacecolor='none' if few else look['color'],
            label=row['method'] + (f' ({row["seeds_done"]} of {row["seeds_planned"]} seeds)' if few else ''),
        )
    axis.set_xlabel(f'time a training step, relative to {table.reference} (median)')
    axis.set_ylabel(f'{table.metric}, mean and 95 % interval')
    axis.margins(0.08)
    _legend(figure, *axis.get_legend_handles_labels())
    return f'{table.network} on {table.dataset}: {table.metric} against the cost of training', figure


def _learning_curves(table):
    found = [
        (name, key, label)
        for name, key, label in (
            ('training loss', 'loss', 'training loss'),
            ('learning curves', 'metric', f'{table.metric} on validation data'),
        )
        if any(_curve(run, key) for runs in table.results.values() for run in runs.values())
    ]
    for name, key, label in found:
        figure, (axis,) = _subplots()
        for i, (method, runs) in enumerate(table.results.items()):
            curve = _over_seeds([_curve(run, key) for run in runs.values()])
            if curve:
                look = style(i)
                x, mean, low, high = zip(*curve)
                axis.plot(
                    x,
                    mean,
                    label=method,
                    linewidth=1.4,
                    color=look['color'],
                    linestyle=look['linestyle'],
                    marker=look['marker'],
                    markersize=4,
                    markevery=max(1, len(x) // 8),
                )
                axis.fill_between(x, low, high, color=look['color'], alpha=0.12, linewidth=0)
        axis.set_xlabel('iteration')
        axis.set_ylabel(label)
        _legend(figure, *axis.get_legend_handles_labels())
        yield f'{table.network} on {table.dataset}: {name}, mean over seeds, and from the least to the greatest', figure


def _curve(run, key):
    return (run.get('curves') or {}).get(key) or []


def _over_seeds(curves):
    """[(iteration, mean, least, greatest)] over the curves [[iteration, value], ...] that have all of them."""
    curves = [{x: y for x, y in curve if y is not None} for curve in curves if curve]
    if not curves:
        return []
    common = set.intersection(*(set(curve) for curve in curves))
    return [
        (x, statistics.fmean(ys), min(ys), max(ys)) for x in sorted(common) for ys in [[curve[x] for curve in curves]]
    ]


def _windows(method, runs):
    """beta of each layer over training, a panel a time step, mean over seeds; None if no window ever moves."""
    curves = [(run.get('curves') or {}).get('beta') or {} for run in runs.values()]
    layers = [name for name in next(iter(curves), {}) if all(c.get(name) for c in curves)]
    values = {beta for c in curves for name in layers for _, betas in c[name] for beta in betas}
    if len(values) < 2:
        return None
    import matplotlib

    T = max(len(betas) for c in curves for name in layers for _, betas in c[name])
    few = len(layers) <= 8
    start = _common_start(layers)
    figure, axes = _subplots(T, width=min(2.2 + 2.1 * T, 11), height=3.6, sharey=True)
    colours = matplotlib.colormaps['viridis']
    for t, axis in enumerate(axes):
        for i, name in enumerate(layers):
            per_seed = [[(x, betas[t]) for x, betas in c[name] if t < len(betas)] for c in curves]
            curve = _over_seeds(per_seed)
            if curve:
                x, mean, low, high = zip(*curve)
                # viridis without its dark and its bright end, for dark and for bright pages
                colour = colours(0.25 + 0.6 * i / max(len(layers) - 1, 1))
                axis.plot(
                    x,
                    mean,
                    color=colour,
                    linestyle=LINES[i % len(LINES)] if few else '-',
                    linewidth=1.4 if few else 1,
                    label=name[start:],
                )
                if few:
                    axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
        axis.set_title(f't = {t + 1}')
        axis.set_xlabel('iteration')
    axes[0].set_ylabel('window half-width beta')
    _legend(figure, *axes[0].get_legend_handles_labels())
    return f'{method}: beta of each layer and time step over training, mean over seeds', figure


def _common_start(names):
    """Length of the parts of dotted names that all share."""
    if len(names) < 2:
        return 0
    return os.path.commonprefix(names).rfind('.') + 1
