"""The figure of a network's energy."""

import numpy as np
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import label_layers, new_figure, positive_or_gap, tidy
from a2sg_zoo.analysis.measures.energy import ann_energy
from a2sg_zoo.utils.palette import COLOURS, GREY

_SERIES = {
    'spikes': ('SNN, input of spikes (SOPs)', 'o', COLOURS[0]),
    'real': ('SNN, real-valued input (MACs)', 's', COLOURS[1]),
}


def energy_figure(found: dict, title: str = '') -> Figure:
    """Draw the energy of every layer on a log axis, as a spiking network and as the same network without spikes.

    A line joins the two energies of a layer, so its length shows their ratio. A layer that no spike enters has no
    energy; it is a cross at the lower edge.

    Args:
        found: from `measure_energy`.
        title: title of the figure; by default it says the energy of the whole network.
    """
    layers, ann = found['layers'], ann_energy(found)
    names = [layer['name'] for layer in layers]
    snn = np.array([layer['energy_pj'] for layer in layers]) / 1e3
    dense = np.array([ann[name] for name in names]) / 1e3
    figure = new_figure(max(6.5, 0.36 * len(layers) + 2.5), 5)
    axes = tidy(
        figure.add_subplot(),
        ylabel='energy of one image, nJ (log scale)',
        yscale='log',
        title=title or f'SNN {snn.sum():,.0f} nJ, the same network as an ANN {dense.sum():,.0f} nJ',
    )
    x = np.arange(len(layers))
    axes.vlines(x, np.where(snn > 0, snn, dense), dense, color=GREY, linewidth=1, alpha=0.5)
    axes.plot(x, positive_or_gap(dense), 'D', color=GREY, markerfacecolor='white', label='ANN (MACs, one time step)')
    for kind, (label, marker, colour) in _SERIES.items():
        chosen = np.array([layer['input'] == kind for layer in layers])
        if chosen.any():
            axes.plot(x[chosen], positive_or_gap(snn[chosen]), marker, color=colour, label=label)
    silent = x[snn == 0]
    if len(silent):
        foot = axes.get_xaxis_transform()  # x in data units, y as a share of the axis
        axes.plot(silent, np.full(len(silent), 0.02), 'x', color=COLOURS[0], transform=foot, label='SNN, no spike')
    label_layers(axes, names)
    axes.grid(axis='x', visible=False)
    axes.margins(y=0.1)
    figure.legend(frameon=False, ncols=2, fontsize=8, loc='outside lower center')
    return figure
