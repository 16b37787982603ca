"""What the pictures show, and their corner cases."""

import math

import pytest
import torch

from a2sg_zoo.analysis.figures import plots
from a2sg_zoo.analysis.measures.landscape import Landscape
from a2sg_zoo.errors import A2SGError


def landscape(value, y=(-1.0, 0.0, 1.0)):
    x = (-1.0, 0.0, 1.0)
    points = {(i, j): value(a, b) for i, a in enumerate(x) for j, b in enumerate(y)}
    return Landscape(x, y, points, dict.fromkeys(points, None), len(points))


def test_saved_twice_the_files_are_the_same(tmp_path):
    def draw(stem):
        return [
            p.read_bytes()
            for p in plots.save(plots.landscape_figure(landscape(lambda a, b: a * a + b * b + 1)), tmp_path / stem)
        ]

    first = draw('a')
    assert first == draw('b') and first[0].startswith(b'\x89PNG') and b'<svg' in first[1]


@pytest.mark.parametrize(
    'value',
    [lambda a, b: 1.0, lambda a, b: 10 ** (3 * a), lambda a, b: None if a > 0 else 1.0 + b, lambda a, b: -a],
    ids=['flat', 'steep', 'holes', 'negative'],
)
def test_landscapes_of_all_kinds(value, tmp_path):
    plots.save(plots.landscape_figure(landscape(value)), tmp_path / 'two')
    plots.save(plots.landscape_figure(landscape(value, (0.0,))), tmp_path / 'one')


def test_a_landscape_without_a_finite_point():
    with pytest.raises(A2SGError, match='loss'):
        plots.landscape_figure(landscape(lambda a, b: None))


def test_zeros_and_undefined_values_leave_gaps_on_a_log_axis(tmp_path):
    figure = plots.layer_figure({'A2SG': dict(a=1.0, b=0.0, c=None, d=2.0), 'TRI': dict(a=3.0, d=1.0)})
    first, second = figure.axes[0].lines
    assert (
        [math.isnan(v) for v in first.get_ydata()]
        == [math.isnan(v) for v in second.get_ydata()]
        == [False, True, True, False]
    )
    plots.save(plots.layer_figure({'silent': dict(a=0.0, b=0.0)}), tmp_path / 'silent')


def test_methods_are_averaged_over_runs():
    figure = plots.method_figure({'A2SG': [([1, 2], [1.0, None]), ([1, 2], [3.0, 5.0])], 'TRI': [([1], [2.0])]}, 'SGV')
    a2sg, tri = figure.axes[0].lines
    assert list(a2sg.get_xdata()) == [1, 2] and list(a2sg.get_ydata()) == [2.0, 5.0] and list(tri.get_ydata()) == [2.0]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ['A2SG', 'TRI']


def test_beta_over_layer_time_and_training():
    records = [
        dict(iter=i, layers=dict(a=dict(beta=[0.1, 0.2]), **({'b': dict(beta=[i])} if i > 1 else {})))
        for i in (1, 2, 3)
    ]
    image = plots.beta_figure(records).axes[0].images[0].get_array()
    assert image.shape == (3, 3)  # (a, 1), (a, 2), (b, 1); three records
    assert image[1].tolist() == [0.2] * 3 and image[2].tolist() == [None, 2, 3]
    with pytest.raises(A2SGError, match='layers'):
        plots.beta_figure([dict(iter=1, layers={})])


def test_raster_shows_every_spike():
    s = torch.zeros(4, 5)
    s[1, 2] = s[3, 0] = 1
    axes = plots.raster_figure({'neuron': s}).axes[0]
    assert sorted(map(tuple, axes.collections[0].get_offsets().tolist())) == [(2, 2), (4, 0)]
