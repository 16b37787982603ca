"""The energy of a network against NeuroBench."""

import pytest
import torch
from torch import nn

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.models.layers import TimeFolded, encode
from a2sg_zoo.neurons import IF


class Chain(nn.Module):
    """Applies layers to (T, B, ...), after the first has encoded the image."""

    def __init__(self, *layers, T=3):
        super().__init__()
        self.T, self.layers = T, nn.ModuleList(layers)

    def forward(self, x):
        x = encode(self.layers[0], x, self.T)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((-2, -1))


def folded(conv):
    return TimeFolded(conv)


def neurobench_figures(net, images):
    """NeuroBench's synaptic operations and activation sparsity of a network, for one batch."""
    models = pytest.importorskip('neurobench.models')
    workload = pytest.importorskip('neurobench.metrics.workload')
    wrapped = models.TorchModel(net)
    wrapped.add_activation_module(IF)
    wrapped.register_hooks()
    with torch.no_grad():
        predictions = wrapped(images)
    data = (images, torch.zeros(len(images)))
    operations = workload.SynapticOperations()(wrapped, predictions, data)
    sparsity = workload.ActivationSparsity()(wrapped, predictions, data)
    wrapped.cleanup_hooks()
    return operations, sparsity


def test_agrees_with_neurobench():
    """Where the conventions agree: binary spikes, no zeros in real inputs or weights, no padding, layers in which
    every input value meets the same number of weights. NeuroBench reads the mean over space as real, as we do."""
    net = Chain(
        folded(nn.Conv2d(3, 8, 1, bias=False)),
        IF(),
        folded(nn.Conv2d(8, 6, 1)),
        IF(),
        folded(nn.Conv2d(6, 4, 2, 2)),
        IF(),
        Mean(),
        nn.Linear(4, 5),
        T=4,
    ).eval()
    net.layers[0][0].weight.data *= 4
    images = torch.rand(3, 3, 8, 8) + 0.1
    ours, (theirs, sparsity) = measure_energy(net, [images]), neurobench_figures(net, images)
    assert 0 < ours['sops'] and ours['sops'] == pytest.approx(theirs['Effective_ACs'], abs=1)
    assert ours['sparsity'] == pytest.approx(sparsity)
    assert sum(x['macs'] * x['steps'] for x in ours['layers']) == theirs['Dense']
    real = {x['name']: x['macs'] * x['steps'] for x in ours['layers'] if x['input'] == 'real'}
    # theirs leaves out the zeros among real inputs, here silent channels of the head
    assert real['layers.0.0'] <= theirs['Effective_MACs'] <= ours['macs']


def test_differs_from_neurobench_at_borders_only_by_the_padding():
    """With padding NeuroBench counts only weights that meet a pixel; the convention here counts all of them: of
    n x n outputs of a 3x3 window, (3 n - 2)^2 against 9 n^2 pairs."""
    n = 8
    net = Chain(folded(nn.Conv2d(3, 8, 1)), IF(), folded(nn.Conv2d(8, 6, 3, padding=1)), T=2).eval()
    net.layers[0][0].weight.data *= 4
    images = torch.rand(2, 3, n, n) + 0.1
    ours, (theirs, _) = measure_energy(net, [images]), neurobench_figures(net, images)
    dense = ours['layers'][0]['macs'] + 2 * ours['layers'][1]['macs'] * (3 * n - 2) ** 2 / (9 * n * n)
    assert theirs['Dense'] == pytest.approx(dense)
    assert ours['sops'] * (3 * n - 2) ** 2 / (9 * n * n) == pytest.approx(theirs['Effective_ACs'], rel=0.05)
    assert theirs['Effective_ACs'] < ours['sops']
