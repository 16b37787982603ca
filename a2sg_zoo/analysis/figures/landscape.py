"""Figures of the loss landscape."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import new_figure, tidy
from a2sg_zoo.analysis.measures.landscape import Landscape
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.utils.palette import COLOURS, GREY


def landscape_figure(landscape: Landscape, title: str = '') -> Figure:
    """Draw the loss around the weights of a network.

    For one direction: a curve of the loss, and of the accuracy where there is one. For two directions: contours and a
    surface of the loss, on a log scale where the largest loss exceeds 20 times the smallest.

    Args:
        landscape: from `loss_landscape`.
        title: title of the figure.

    Raises:
        A2SGError: there are two directions, and the loss is not finite at any point.
    """
    return _curve(landscape, title) if len(landscape.y) == 1 else _surface(landscape, title)


def _curve(landscape, title):
    figure = new_figure()
    axes = tidy(figure.add_subplot(), xlabel='step along the direction', ylabel='loss', title=title)
    axes.plot(landscape.x, landscape.grid().numpy()[0], color=COLOURS[0], marker='o', markersize=3, label='loss')
    accuracy = landscape.grid('accuracy').numpy()[0]
    if np.isfinite(accuracy).any():
        twin = axes.twinx()
        twin.plot(landscape.x, 100 * accuracy, color=COLOURS[1], linestyle='--', marker='s', markersize=3)
        twin.set_ylabel('accuracy, % (dashed)', color=COLOURS[1])
    axes.axvline(0, color=GREY, linewidth=0.8)
    return figure


def _surface(landscape, title):
    loss = landscape.grid().numpy()
    if not np.isfinite(loss).any():
        raise A2SGError('the loss is not finite at any point of the landscape, so there is nothing to draw')
    figure = new_figure(11, 4.8)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection='3d')
    X, Y = np.meshgrid(landscape.x, landscape.y)
    shown = np.ma.masked_invalid(loss)
    wide = shown.min() > 0 and shown.max() > 20 * shown.min()
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
