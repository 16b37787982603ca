"""Spikes as they were, and pictures of them."""

import pytest
import torch

from a2sg_zoo.analysis.figures.energy import energy_figure
from a2sg_zoo.analysis.figures.spikes import feature_figure
from a2sg_zoo.analysis.measures.energy import ann_energy, measure_energy
from a2sg_zoo.analysis.measures.spikes import record_spikes
from a2sg_zoo.errors import ConfigError
from tests.analysis.networks import classifier


@pytest.fixture
def model():
    model = classifier()
    for _ in range(3):  # batch norms that have seen data, so that neurons fire
        model.train()(torch.randn(4, 3, 8, 8))
    return model.eval()


def test_spikes_are_the_neurons_outputs(model):
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        with record_spikes(model) as spikes:
            model(x)
        seen = []
        handle = model.backbone.stem_neuron.register_forward_hook(lambda m, args, s: seen.append(s))
        model(x)
        handle.remove()
    assert list(spikes)[0] == 'backbone.stem_neuron' and len(spikes) == 3
    assert torch.equal(spikes['backbone.stem_neuron'], seen[0])
    assert spikes['backbone.stem_neuron'].shape[:2] == (2, 2) and set(seen[0].unique().tolist()) == {0, 1}


def test_nothing_is_recorded_outside(model):
    before = {name: len(m._forward_hooks) for name, m in model.named_modules()}
    with pytest.raises(ConfigError, match='channels'):
        with record_spikes(model) as spikes:
            model(torch.randn(2, 5, 8, 8))
    assert before == {name: len(m._forward_hooks) for name, m in model.named_modules()}
    with torch.no_grad():
        model(torch.randn(2, 3, 8, 8))
    assert not spikes


def test_the_ann_multiplies_each_layer_once(model):
    found = measure_energy(model, [torch.randn(2, 3, 8, 8)])
    ann = ann_energy(found)
    # the stem: 4 filters of 3 x 3 x 3 at 8 x 8 positions
    assert ann['backbone.stem.conv'] == pytest.approx(4.6 * 4 * 27 * 64)
    assert sum(ann.values()) == pytest.approx(4.6 * sum(layer['macs'] for layer in found['layers']))
    (axes,) = energy_figure(found).axes
    shown = torch.tensor([y for line in axes.lines if line.get_transform() == axes.transData for y in line.get_ydata()])
    assert float(shown.nansum()) == pytest.approx((found['energy_pj'] + sum(ann.values())) / 1e3)


def test_feature_maps_show_the_share_of_channels():
    first = torch.zeros(2, 4, 3, 3)
    first[1, :3, 2, 0] = 1
    figure = feature_figure({'first': first, **{f'{k}': torch.zeros(2, 1, 2, 2) for k in range(9)}}, layers=3)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 6 and images[1].get_array()[2, 0] == 0.75
    assert images[0].get_array().sum() == 0 and images[0].get_clim() == (0, 0.75)
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ['t = 1', 't = 2']
