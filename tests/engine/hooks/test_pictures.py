"""Names of the pictures of a test."""

from hypothesis import given
from hypothesis import strategies as st

from a2sg_zoo.engine.hooks.pictures import _unique_names, spread

PARTS = st.sampled_from(['a', 'b', 'a_2', 'sheet'])
IMAGES = st.lists(st.builds('{}/{}.jpg'.format, PARTS, PARTS), unique=True)


@given(IMAGES)
def test_no_picture_replaces_another_one(images):
    """Images of one name may lie in several folders, and one may be called sheet."""
    names = _unique_names(images)
    assert names.keys() == set(images)
    assert len({*names.values(), 'sheet'}) == len(images) + 1


def test_names_are_those_of_the_images():
    assert _unique_names(['x/a.jpg', 'y/b.jpg', 'y/a.jpg']) == {'x/a.jpg': 'a', 'y/b.jpg': 'b', 'y/a.jpg': 'a_2'}


@given(st.integers(0, 200), st.integers(1, 12))
def test_pictures_of_a_sheet_are_from_all_over_the_data_set(total, limit):
    chosen = sorted(spread(total, limit))
    assert len(chosen) == min(total, limit) and set(chosen) <= set(range(total))
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, total - 1)
        gaps = [b - a for a, b in zip(chosen, chosen[1:])]
        assert max(gaps) - min(gaps) <= 1
