"""Pictures of what a network does with one sample or many: energy bars, feature maps of spikes."""

import numpy as np

from a2sg_zoo.analysis.figures.plots import COLOURS, _figure, _short, _tidy
from a2sg_zoo.analysis.measures.energy import ann_energy


def energy_figure(found, title=''):
    """Energy of every layer as an SNN, in bars coloured by what enters it, beside that of the same network as an ANN.

    Args:
        found: from `energy.activity`.
    """
    layers, ann = found['layers'], ann_energy(found)
    names = [layer['name'] for layer in layers]
    snn = np.array([layer['energy_pj'] for layer in layers]) / 1e3
    dense = np.array([ann[name] for name in names]) / 1e3
    figure = _figure(max(6.5, 0.36 * len(layers) + 2.5), 5)
    axes = _tidy(
        figure.add_subplot(),
        ylabel='energy an image, nJ',
        title=title or (f'SNN {snn.sum():,.0f} nJ, the same network as an ANN {dense.sum():,.0f} nJ'),
    )
    x, width = np.arange(len(layers)), 0.4
    for kind, label, style in (
        ('spikes', 'SNN, spikes enter (SOPs)', dict(color=COLOURS[0])),
        ('real', 'SNN, real values enter (MACs)', dict(color=COLOURS[1], hatch='//')),
    ):
        chosen = [layer['input'] == kind for layer in layers]
        if any(chosen):
            axes.bar(x[chosen] - width / 2, snn[chosen], width, label=label, edgecolor='white', linewidth=0, **style)
    axes.bar(x + width / 2, dense, width, color='#BBBBBB', label='ANN (MACs, once)')
    axes.set_xticks(x, [_short(name) for name in names], rotation=60, ha='right', rotation_mode='anchor', fontsize=7)
    axes.grid(axis='x', visible=False)
    axes.set_ylim(top=1.25 * max(snn.max(), dense.max()))  # room for the legend
    axes.legend(frameon=False, ncols=3, fontsize=8, loc='upper center')
    return figure


def rate_figure(spikes, title=''):
    """How often the neurons of each layer fire: a bar a layer, from the first down to the last; a point a time step.

    Args:
        spikes: {layer: (T, ...)}.
    """
    names = list(spikes)
    figure = _figure(6.5, 0.17 * len(names) + 1.1)
    axes = _tidy(figure.add_subplot(), xlabel='spikes a neuron and time step', title=title)
    rows = np.arange(len(names))
    axes.barh(rows, [float(s.mean()) for s in spikes.values()], color=COLOURS[5], height=0.7)
    for row, s in zip(rows, spikes.values()):
        steps = s.flatten(1).mean(1).tolist()
        axes.scatter(steps, [row] * len(steps), c=range(len(steps)), cmap='viridis', s=9, zorder=3)
    axes.set_yticks(rows, [_short(name) for name in names], fontsize=7)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, None))
    axes.text(1, 0.01, 'points: time steps, first dark, last bright', transform=axes.transAxes, ha='right', fontsize=7)
    return figure


def feature_figure(spikes, layers=5, title=''):
    """Feature maps of one sample: a row for each of a few layers, from first to last, a column for each time step; a
    pixel is the share of the layer's channels that fire there. The scale is the row's own.

    Args:
        spikes: {layer: (T, C, H, W)}.
        layers: how many rows at most.
    """
    names = list(spikes)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(layers, len(names))).round().astype(int))]
    T = max(len(spikes[name]) for name in chosen)
    figure = _figure(1.5 * T + 2.2, 1.55 * len(chosen) + 0.6)
    grid = figure.subplots(len(chosen), T, squeeze=False)
    for i, (row, name) in enumerate(zip(grid, chosen)):
        share = spikes[name].mean(1).numpy()
        for t, axes in enumerate(row):
            axes.set(xticks=[], yticks=[])
            if t >= len(share):
                axes.axis('off')
                continue
            # a silent layer is as dark as it is silent
            image = axes.imshow(
                share[t], cmap='viridis', vmin=0, vmax=max(float(share.max()), 1e-9), interpolation='nearest'
            )
            if i == 0:
                axes.set_title(f't = {t + 1}', fontsize=8)
        row[0].set_ylabel(_short(name), fontsize=7)
        bar = figure.colorbar(image, ax=list(row), fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=6)
    figure.suptitle(title or 'Share of channels that fire, one sample', fontsize=10)
    return figure
