"""The pictures of the pages."""

import numpy as np
from PIL import Image

from a2sg_zoo.analysis.compare import Group
from a2sg_zoo.evidence.figures import (
    flatness_figure,
    generalisation_figure,
    save_picture,
    variation_figure,
    verdict_figure,
)
from a2sg_zoo.evidence.verdicts import Claim, Evidence
from a2sg_zoo.hub.files import mark
from a2sg_zoo.utils.palette import BLUE, LIGHT_GREY, VERMILION
from tests.evidence.made_up import make_entry


def test_data_sets_stand_side_by_side(tmp_path):
    groups = {
        name: Group(name, [make_entry(tmp_path, method, seed, data) for method in ('TRI', 'A2SG') for seed in range(2)])
        for data, name in enumerate(('first', 'second'))
    }
    for group in groups.values():
        for entry in group.entries:
            entry.sections['training']['curves'] = dict(cv=[[1, 2], [3.0, 2.0]], tgc=[[1, 2], [0.5, None]])
            entry.sections['landscape'] = dict(values={}, x=[-1.0, 0.0, 1.0], loss=[2.0, 1.0, 2.5])
    for draw in (variation_figure, flatness_figure, generalisation_figure):
        figure = draw(groups)
        titles = [axes.get_title() for axes in figure.axes]
        assert titles == ['first', 'second', '', '']
        assert [bool(axes.get_ylabel()) for axes in figure.axes] == [True, False, True, False]
        assert bool(figure.legends) == (draw is not generalisation_figure)
    # the points are those of the runs
    points = [y for drawn in generalisation_figure(groups).axes[0].collections for _, y in drawn.get_offsets()]
    assert sorted(points) == [10.0, 10.1, 11.0, 11.1]
    assert len(variation_figure(groups).axes[0].lines) == 2


def test_pictures_are_small_and_say_who_made_them(tmp_path):
    claims = [Claim('topic', f'claim {i}', [Evidence('data', i % 3 - 1, '')]) for i in range(20)]
    save_picture(verdict_figure(claims), tmp_path / 'a.png')
    save_picture(verdict_figure(claims[:3]), tmp_path / 'a.png')  # its own is replaced
    picture = Image.open(tmp_path / 'a.png')
    assert picture.mode == 'P' and picture.info['Software'] == mark('why_it_works')
    shown = np.asarray(picture.convert('RGB')).reshape(-1, 3).astype(int)
    for colour in (BLUE, VERMILION, LIGHT_GREY):  # the palette keeps those of the marks
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(shown - rgb).max(1).min() <= 8
