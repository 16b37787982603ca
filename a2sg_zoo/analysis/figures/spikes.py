"""Figures of the spikes of a network: rasters, firing rates, feature maps."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import new_figure, short_name, tidy
from a2sg_zoo.utils.palette import COLOURS

_MAX_PANELS = 60
_WHITE_TO_BLUE = LinearSegmentedColormap.from_list('spikes', ['white', COLOURS[0]])


def raster_figure(spikes: Mapping[str, torch.Tensor], neurons: int = 40, seed: int = 0, title: str = '') -> Figure:
    """Draw the spikes of one sample: a panel for each layer, neurons from top to bottom, time to the right.

    Neurons are drawn at random among those of the layer that fire at least once, because in a layer that fires at 1 %
    most neurons are silent. The panel's title says how many neurons fire. The first 60 layers are drawn.

    Args:
        spikes: {layer: (T, number of neurons)}, as `record_spikes` gives them, flattened. Values are 0 or 1, or shares
            of the largest count for integer neurons.
        neurons: largest number of neurons in a panel.
        seed: seed of the choice of neurons.
        title: title of the figure.
    """
    layers = list(spikes)[:_MAX_PANELS]
    columns = min(4, len(layers))
    rows = -(-len(layers) // columns)
    figure = new_figure(2.4 * columns + 0.6, 1.9 * rows + 0.5)
    generator = np.random.default_rng(seed)
    for k, layer in enumerate(layers):
        axes = figure.add_subplot(rows, columns, k + 1)
        _draw_raster(axes, spikes[layer].numpy(), neurons, generator)
        axes.set_title(f'{short_name(layer)}\n{axes.get_title()}', fontsize=7)
        if k + columns >= len(layers):
            axes.set_xlabel('time step', fontsize=8)
    figure.suptitle(
        title or f'Spikes of one sample: up to {neurons} neurons of each layer, drawn from those that fire', fontsize=10
    )
    return figure


def _draw_raster(axes: Axes, s: np.ndarray, neurons: int, generator: np.random.Generator) -> None:
    """One panel; s: (T, number of neurons)."""
    T, elements = s.shape
    active = np.flatnonzero(s.any(0))
    chosen = np.sort(generator.choice(active, min(neurons, len(active)), replace=False))
    axes.set_title(f'rate {s.mean():.3f}; {len(active):,} of {elements:,} neurons fire')
    if len(chosen):
        axes.pcolormesh(
            np.arange(T + 1) + 0.5,
            np.arange(len(chosen) + 1),
            s[:, chosen].T,
            cmap=_WHITE_TO_BLUE,
            vmin=0,
            vmax=s.max(),
            edgecolors='white',
            linewidth=0.4,
        )
    else:
        axes.text((T + 1) / 2, 0.5, 'no spike', ha='center', va='center', fontsize=8)
    axes.set(xlim=(0.5, T + 0.5), ylim=(max(len(chosen), 1), 0), yticks=[])
    axes.set_xticks(range(1, T + 1) if T <= 10 else [1, T])
    axes.tick_params(labelsize=7)


def rate_figure(spikes: Mapping[str, torch.Tensor], title: str = '') -> Figure:
    """Draw the firing rate of each layer: a bar for the mean over time, a point for each time step.

    The first layer is at the top.

    Args:
        spikes: {layer: spikes (T, ...)}.
        title: title of the figure.
    """
    names = list(spikes)
    figure = new_figure(6.5, 0.17 * len(names) + 1.1)
    axes = tidy(figure.add_subplot(), xlabel='spikes of a neuron in a time step', title=title)
    rows = np.arange(len(names))
    axes.barh(rows, [float(s.mean()) for s in spikes.values()], color=COLOURS[5], height=0.7)
    for row, s in zip(rows, spikes.values()):
        steps = s.flatten(1).mean(1).tolist()
        axes.scatter(steps, [row] * len(steps), c=range(len(steps)), cmap='viridis', s=9, zorder=3)
    axes.set_yticks(rows, [short_name(name) for name in names], fontsize=7)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, None))
    axes.text(1, 0.01, 'points: time steps, from dark to bright', transform=axes.transAxes, ha='right', fontsize=7)
    return figure


def feature_figure(spikes: Mapping[str, torch.Tensor], layers: int = 5, title: str = '') -> Figure:
    """Draw feature maps of one sample: a row for each of a few layers, a column for each time step.

    A pixel is the share of the layer's channels that fire there. Every row has its own scale.

    Args:
        spikes: {layer: spikes (T, C, H, W)}.
        layers: largest number of rows; they are spread evenly over the layers, from the first to the last.
        title: title of the figure.
    """
    names = list(spikes)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(layers, len(names))).round().astype(int))]
    T = max(len(spikes[name]) for name in chosen)
    figure = new_figure(1.5 * T + 2.2, 1.55 * len(chosen) + 0.6)
    grid = figure.subplots(len(chosen), T, squeeze=False)
    for i, (row, name) in enumerate(zip(grid, chosen)):
        share = spikes[name].mean(1).numpy()
        for t, axes in enumerate(row):
            axes.set(xticks=[], yticks=[])
            if t >= len(share):
                axes.axis('off')
                continue
            # the lower limit of the scale is above 0, so that a silent layer is dark
            image = axes.imshow(
                share[t], cmap='viridis', vmin=0, vmax=max(float(share.max()), 1e-9), interpolation='nearest'
            )
            if i == 0:
                axes.set_title(f't = {t + 1}', fontsize=8)
        row[0].set_ylabel(short_name(name), fontsize=7)
        bar = figure.colorbar(image, ax=list(row), fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=6)
    figure.suptitle(title or 'Share of channels that fire, one sample', fontsize=10)
    return figure
