"""Draws the pictures of docs/attach.md: a probe of neurons of five libraries, and a monitored training.

python -m tests.analysis.pictures
"""

import io
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.adaptation.records import means
from a2sg_zoo.analysis.figures.style import new_figure, series_styles, tidy
from a2sg_zoo.analysis.monitor import monitor
from a2sg_zoo.analysis.probe import Probe, probe
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.neurons import LIF
from tests.analysis.test_probe import cogged, jelly, norsed, torched

FOLDER = Path(__file__).resolve().parents[2] / 'docs' / 'images'


def save(figure, name):
    """A small PNG, of few colours."""
    data, small = io.BytesIO(), io.BytesIO()
    figure.savefig(data, format='png', dpi=100)
    Image.open(data).convert('RGB').quantize(64).save(small, format='png', optimize=True)
    write_atomically(small.getvalue(), FOLDER / name)


def probed():
    adapted = LIF(T=4)
    adapted.surrogate = A2SG().surrogate
    adapted.set_widths(torch.tensor([0.5, 0.8, 1.2, 1.6]))
    neurons = {
        'ours, four widths': adapted,
        'SpikingJelly Sigmoid': jelly('Sigmoid')(),
        'snnTorch atan': torched('atan')(),
        'norse super': norsed('super', 100.0)(),
        'snnTorch triangular': torched('triangular')(),
        'BrainCog GateGrad': cogged('GateGrad')(),
    }
    found = probe(nn.ModuleDict(neurons))
    return Probe(found)


def monitored():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 128), LIF(T=4), nn.Linear(128, 96), LIF(T=4), nn.Linear(96, 64), LIF(T=4))
    network.append(nn.Linear(64, 10))
    with torch.no_grad():
        for layer in network[::2]:
            layer.weight.mul_(2)
    attach(network, A2SG())
    x, labels = torch.rand(64, 64).expand(4, 64, 64), torch.randint(10, (64,))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    with monitor(network, every=4) as watch:
        for _ in range(200):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x).mean(0), labels).backward()
            optimizer.step()
    return watch


def drawn(watch):
    figure = new_figure(10, 2.8)
    steps = [record['iter'] for record in watch.records]
    for i, (key, title) in enumerate(dict(cv='CV', tgc='TGC', inside='share inside the window', rate='rate').items()):
        axes = tidy(figure.add_subplot(1, 4, i + 1), title=title, xlabel='step')
        for name, style in zip(watch.records[0]['layers'], series_styles()):
            values = [means(record['layers'][name])[key] for record in watch.records]
            axes.plot(steps, [float('nan') if v is None else v for v in values], color=style['color'], label=name)
    axes.legend(title='layer', frameon=False)
    return figure


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    save(probed().figure(), 'probe.png')
    save(drawn(monitored()), 'monitor.png')
