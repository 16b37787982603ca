"""What the pictures show, and their corner cases."""

import math

import pytest
import torch

from a2sg_zoo.analysis.figures.energy import energy_figure
from a2sg_zoo.analysis.figures.landscape import landscape_figure
from a2sg_zoo.analysis.figures.layers import layer_figure, time_figure
from a2sg_zoo.analysis.figures.spikes import raster_figure
from a2sg_zoo.analysis.figures.style import save
from a2sg_zoo.analysis.figures.training import beta_figure, method_figure
from a2sg_zoo.analysis.measures.landscape import Landscape
from a2sg_zoo.errors import A2SGError


def landscape(value, y=(-1.0, 0.0, 1.0)):
    x = (-1.0, 0.0, 1.0)
    points = {(i, j): value(a, b) for i, a in enumerate(x) for j, b in enumerate(y)}
    return Landscape(x, y, points, dict.fromkeys(points, None), len(points))


def test_saved_twice_the_files_are_the_same(tmp_path):
    def draw(stem):
        return [
            p.read_bytes() for p in save(landscape_figure(landscape(lambda a, b: a * a + b * b + 1)), tmp_path / stem)
        ]

    first = draw('a')
    assert first == draw('b') and first[0].startswith(b'\x89PNG') and b'<svg' in first[1]


@pytest.mark.parametrize(
    'value',
    [lambda a, b: 1.0, lambda a, b: 10 ** (3 * a), lambda a, b: None if a > 0 else 1.0 + b, lambda a, b: -a],
    ids=['flat', 'steep', 'holes', 'negative'],
)
def test_landscapes_of_all_kinds(value, tmp_path):
    save(landscape_figure(landscape(value)), tmp_path / 'two')
    save(landscape_figure(landscape(value, (0.0,))), tmp_path / 'one')


def test_a_landscape_without_a_finite_point():
    with pytest.raises(A2SGError, match='loss'):
        landscape_figure(landscape(lambda a, b: None))


def test_zeros_and_undefined_values_leave_gaps_on_a_log_axis(tmp_path):
    figure = layer_figure({'A2SG': dict(a=1.0, b=0.0, c=None, d=2.0), 'TRI': dict(a=3.0, d=1.0)})
    first, second = figure.axes[0].lines
    assert (
        [math.isnan(v) for v in first.get_ydata()]
        == [math.isnan(v) for v in second.get_ydata()]
        == [False, True, True, False]
    )
    save(layer_figure({'silent': dict(a=0.0, b=0.0)}), tmp_path / 'silent')


def test_methods_are_averaged_over_runs():
    figure = method_figure({'A2SG': [([1, 2], [1.0, None]), ([1, 2], [3.0, 5.0])], 'TRI': [([1], [2.0])]}, 'SGV')
    a2sg, tri = figure.axes[0].lines
    assert list(a2sg.get_xdata()) == [1, 2] and list(a2sg.get_ydata()) == [2.0, 5.0] and list(tri.get_ydata()) == [2.0]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ['A2SG', 'TRI']


def test_beta_over_layer_time_and_training():
    records = [
        dict(iter=i, layers=dict(a=dict(beta=[0.1, 0.2]), **({'b': dict(beta=[i])} if i > 1 else {})))
        for i in (1, 2, 3)
    ]
    image = beta_figure(records).axes[0].images[0].get_array()
    assert image.shape == (3, 3)  # (a, 1), (a, 2), (b, 1); three records
    assert image[1].tolist() == [0.2] * 3 and image[2].tolist() == [None, 2, 3]
    with pytest.raises(A2SGError, match='layers'):
        beta_figure([dict(iter=1, layers={})])


def cells(axes):
    """What a raster's panel shows: (neurons, T)."""
    (mesh,) = axes.collections
    return mesh.get_array()


def test_raster_shows_every_spike():
    s = torch.zeros(4, 5)
    s[1, 2] = s[3, 0] = 1
    axes = raster_figure({'neuron': s}).axes[0]
    # two neurons fire: the first in the last time step, the third in the second
    assert cells(axes).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    assert '2 of 5' in axes.get_title() and 'rate 0.100' in axes.get_title()


def test_raster_of_a_layer_that_hardly_fires_is_not_empty():
    torch.manual_seed(0)
    s = (torch.rand(4, 5000) < 0.002).float()
    quiet, silent = raster_figure({'quiet': s, 'silent': torch.zeros(4, 50)}, neurons=10).axes
    assert cells(quiet).shape == (10, 4) and cells(quiet).any(1).all()
    assert not silent.collections and silent.texts and '0 of 50' in silent.get_title()


def test_raster_shades_the_counts_of_integer_neurons():
    axes = raster_figure({'neuron': torch.tensor([[0.25, 0.0, 1.0]])}).axes[0]
    assert cells(axes).tolist() == [[0.25], [1.0]] and axes.collections[0].get_clim() == (0, 1)


def test_energy_of_every_layer_on_a_log_axis(tmp_path):
    def layer(name, kind, macs, energy):
        return dict(name=name, kind='Conv2d', input=kind, macs=macs, energy_pj=energy)

    layers = [layer('a', 'real', 1e6, 4.6e6), layer('b', 'spikes', 1e6, 9e3), layer('c', 'spikes', 1e6, 0.0)]
    figure = energy_figure(dict(layers=layers))
    (axes,) = figure.axes
    ann, spikes, real, silent = (axes.lines[i] for i in (0, 1, 2, 3))
    assert axes.get_yscale() == 'log'
    assert ann.get_ydata() == pytest.approx([4.6e3] * 3)
    assert list(spikes.get_xdata()) == [1, 2] and spikes.get_ydata()[0] == pytest.approx(9)
    assert math.isnan(spikes.get_ydata()[1]) and list(silent.get_xdata()) == [2]
    assert list(real.get_xdata()) == [0] and real.get_ydata() == pytest.approx([4.6e3])
    save(figure, tmp_path / 'energy')


def test_a_line_for_each_layer_over_the_time_steps(tmp_path):
    figure = time_figure({'a.neuron': [0.5, None, 0.25], 'b.neuron': [None, 1.0, -1.0]}, 'TGC')
    first, second = figure.axes[0].lines
    assert first.get_xdata().tolist() == [1, 2, 3] and figure.axes[0].get_ylabel() == 'TGC'
    assert first.get_ydata()[[0, 2]].tolist() == [0.5, 0.25] and math.isnan(first.get_ydata()[1])
    assert second.get_ydata()[1:].tolist() == [1.0, -1.0]
    save(figure, tmp_path / 'two')
    save(time_figure({'a': [0.1] * 300}, 'TGC'), tmp_path / 'long')
