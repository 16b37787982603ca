"""Draws a2sg.svg, the picture of the start page: python docs/images/draw_a2sg.py"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from a2sg_zoo.adaptation import spatial_gradient_variation
from a2sg_zoo.neurons import LIF, recorded_potentials
from a2sg_zoo.surrogates import ASY, TRI

BROWN, GREY = '#9a4a00', '0.55'
plt.rcParams.update(
    {
        'axes.spines.top': False,
        'axes.spines.right': False,
        'font.size': 9,
        'svg.hashsalt': 'a2sg',
        'svg.fonttype': 'none',
    }
)
torch.manual_seed(0)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 2.6), layout='constrained')

current = 0.05 + 0.5 * torch.rand(60)
neuron = LIF(tau=4.0, decay_input=False, T=60)
with torch.no_grad(), recorded_potentials(neuron) as potentials:
    spikes = neuron(current[:, None])[:, 0]
left.plot(potentials[0][1][:, 0], color=BROWN)
left.axhline(1, color='k', lw=0.8, ls='--')
left.eventplot(torch.nonzero(spikes).flatten().tolist(), lineoffsets=1.45, linelengths=0.12, color='k')
left.set(title='A neuron fires at the threshold', xlabel='time step', ylabel='membrane potential u')

z = torch.linspace(-2.2, 2.2, 800)
for beta, color in zip((0.5, 1.0, 2.0), plt.cm.copper((0.85, 0.55, 0.2))):
    middle.plot(z, ASY()(z, beta), color=color, label=f'width {beta:g}')
middle.axvline(0, color='k', lw=0.8, ls='--')
middle.set(title='A surrogate replaces its derivative', xlabel='u - threshold', ylabel='ASY')
middle.legend(frameon=False, loc='upper left', fontsize=8)

u, gradient = 0.3 + 0.5 * torch.randn(100_000), torch.randn(100_000)
widths = torch.linspace(0.1, 2.0, 96)
for shape, color in ((TRI(normalize='peak'), GREY), (ASY(), BROWN)):
    sgv = torch.stack([spatial_gradient_variation(gradient * shape(u - 1, beta)) for beta in widths])
    right.plot(widths, sgv, color=color, label=type(shape).__name__)
    right.plot(widths[sgv.argmin()], sgv.min(), 'o', color=color)
right.set(title='A2SG searches its width', xlabel='width', ylabel='gradient variation', ylim=(0, None))
right.legend(frameon=False, loc='lower left')

figure.savefig(Path(__file__).with_name('a2sg.svg'), metadata=dict(Date=None))
