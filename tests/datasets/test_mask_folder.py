"""A folder of pictures and masks of one's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from a2sg_zoo.datasets import MaskFolder
from a2sg_zoo.datasets.mask_folder import distinct_colours, read_labels
from a2sg_zoo.datasets.segmentation import labels_of_colours
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.errors import ConfigError, DataError

LOAD = [dict(type='LoadImage'), dict(type='LoadSegAnnotations')]
COLOURS = np.array([[0, 0, 0], [128, 64, 128], [70, 130, 180]], np.uint8)
LABELS = np.arange(30).reshape(5, 6) % 3


@pytest.fixture
def folder(tmp_path):
    """Three pictures of several formats with masks, in two folders."""
    for name in ('a.jpg', 'b.PNG', 'deep/c.tif'):
        for what, file in (('images', name), ('masks', name.rsplit('.')[0] + '.png')):
            path = tmp_path / what / 'train' / file
            path.parent.mkdir(parents=True, exist_ok=True)
            data = np.full((5, 6, 3), 90, np.uint8) if what == 'images' else LABELS.astype(np.uint8)
            Image.fromarray(data).save(path)
    (tmp_path / 'labels.txt').write_text('# name red green blue\nvoid 0 0 0\nroad 128 64 128\n\nclear sky 70 130 180\n')
    return tmp_path


def paint(folder, colours=COLOURS):
    for path in (folder / 'masks').rglob('*.png'):
        Image.fromarray(colours[LABELS]).save(path)


def build(folder, **kwargs):
    return MaskFolder(folder, pipeline=LOAD, **kwargs)


def test_labels(folder):
    dataset = build(folder)
    assert [item['img_path'].rpartition('train')[2] for item in dataset] == ['/a.jpg', '/b.PNG', '/deep/c.tif']
    assert dataset.metainfo['classes'] == ['void', 'road', 'clear sky']
    assert dataset.metainfo['palette'] == COLOURS.tolist()
    assert all((item['gt_seg_map'] == LABELS).all() for item in dataset)


def test_colours(folder):
    paint(folder)
    for item in build(folder, masks='colours'):
        assert (item['gt_seg_map'] == LABELS).all()
    with pytest.raises(DataError, match=r'a\.png.*RGB'):
        build(folder)[0]
    (folder / 'labels.txt').unlink()
    with pytest.raises(DataError, match=r'a\.png.*\[70, 130, 180\]'):
        build(folder, masks='colours', classes=['void', 'road'], palette=COLOURS[:2].tolist())[0]
    item = build(
        folder, masks='colours', classes=['void', 'road'], palette=COLOURS[:2].tolist(), ignored=[[70, 130, 180]]
    )[0]
    assert (item['gt_seg_map'] == np.where(LABELS == 2, 255, LABELS)).all()


@pytest.mark.parametrize('masks', ['labels', 'colours'])
def test_ignored_class(folder, masks):
    if masks == 'colours':
        paint(folder)
    dataset = build(folder, masks=masks, ignored=['void'])
    assert dataset.metainfo['classes'] == ['road', 'clear sky']
    assert dataset.metainfo['palette'] == COLOURS[1:].tolist()
    assert (dataset[0]['gt_seg_map'] == np.where(LABELS == 0, 255, LABELS - 1)).all()


def test_chosen_classes(folder):
    """Weights name the classes of their network, which an evaluation hands to the data set."""
    dataset = build(folder, classes=['clear sky', 'road'], ignored=['void'])
    assert dataset.metainfo['classes'] == ['clear sky', 'road']
    assert dataset.metainfo['palette'] == COLOURS[:0:-1].tolist()
    assert (dataset[0]['gt_seg_map'] == np.array([255, 1, 0])[LABELS]).all()


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40, unique=True), st.randoms())
def test_every_colour_finds_its_label(colours, random):
    labels = np.array([[random.randrange(len(colours)) for _ in range(7)] for _ in range(4)])
    found = labels_of_colours(np.array(colours, np.uint8)[labels], colours, 'mask')
    assert (found == labels).all()


@pytest.mark.parametrize(
    'text, found',
    [
        ('road\nsky\n', (['road', 'sky'], None)),
        ('128 64 128 road\n1 2 3\tclear sky', (['road', 'clear sky'], [[128, 64, 128], [1, 2, 3]])),
        ('level 1 2 3\n', (['level'], [[1, 2, 3]])),
        ('room 101\n', (['room 101'], None)),
    ],
)
def test_labels_file(tmp_path, text, found):
    (tmp_path / 'labels.txt').write_text(text)
    assert read_labels(tmp_path / 'labels.txt') == found


@pytest.mark.parametrize('content', [None, b'', b'# nothing\n', b'\xff\xfe', b'road 1 2 3\nsky\n'])
def test_labels_file_that_cannot_be_used(folder, content):
    path = folder / 'labels.txt'
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match='labels.txt'):
        build(folder)


@pytest.mark.parametrize(
    'arguments, key',
    [
        (dict(masks='colors'), 'masks'),
        (dict(classes=['road', 'road']), 'classes'),
        (dict(classes=['car']), 'classes'),
        (dict(palette=[[0, 0, 0]]), 'palette'),
        (dict(palette=[[0, 0, 0], [0, 0, 256], [1, 1, 1]]), 'palette'),
        (dict(palette=[[0, 0, 0], [0, 0, 0], [1, 1, 1]], masks='colours'), 'palette'),
        (dict(ignored=['car']), 'ignored'),
        (dict(ignored=[[1, 2, 3]]), 'ignored'),
        (dict(ignored=[[1, 2]], masks='colours'), 'ignored'),
        (dict(ignored=[[300, 0, 0]], masks='colours'), 'ignored'),
        (dict(ignored=[5], masks='colours'), 'ignored'),
        (dict(ignored=[[0, 0, 0]], masks='colours'), 'ignored.*void'),
        (dict(ann_file='train.txt'), 'ann_file.*train.txt'),
        (dict(reduce_zero_label=True, masks='colours'), 'reduce_zero_label.*colours'),
        (dict(filter_cfg=dict(filter_empty_gt=True)), 'filter_cfg'),
    ],
)
def test_arguments_that_do_not_fit(folder, arguments, key):
    with pytest.raises(ConfigError, match=key):
        build(folder, **arguments)


def test_colours_need_a_palette(folder):
    (folder / 'labels.txt').unlink()
    with pytest.raises(ConfigError, match='palette'):
        build(folder, classes=['void', 'road'], masks='colours')


def test_files_that_do_not_fit(folder):
    (folder / 'masks/train/a.png').rename(folder / 'masks/train/z.png')
    with pytest.raises(DataError, match='images/train/z'):
        build(folder)
    (folder / 'masks/train/z.png').unlink()
    with pytest.raises(DataError, match='masks/train/a.png'):
        build(folder)
    (folder / 'images/train/a.jpg').unlink()
    Image.fromarray(np.full((5, 6), 7, np.uint8)).save(folder / 'masks/train/b.png')
    with pytest.raises(DataError, match=r'b\.png.* 7'):
        build(folder)
    Image.fromarray(np.full((5, 6), 700, np.uint16)).save(folder / 'masks/train/b.png')
    with pytest.raises(DataError, match=r'b\.png.* 700'):
        build(folder)


def test_palettes_differ():
    colours = distinct_colours(60)
    assert len(set(map(tuple, colours))) == 60


def test_classes_of_a_config():
    path = 'configs/meta_spikeformer/meta_spikeformer_mask_folder.py'
    cfg = load_config(path, dict(classes=['road', 'sky', 'car']))
    assert cfg.model.decode_head.num_classes == 3
    assert cfg.train_dataloader.dataset.classes == cfg.val_dataloader.dataset.classes == ['road', 'sky', 'car']
    with pytest.raises(ConfigError, match='num_classes'):
        load_config(path, dict(classes=['road', 'sky'], num_classes=5))
    with pytest.raises(ConfigError, match='classes'):
        load_config('configs/meta_spikeformer/meta_spikeformer_ade20k.py', dict(classes=['road', 'sky']))
