"""Class folders: what is read in them, and that no name of a class is mistaken for another."""

import logging
import os
import unicodedata
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from PIL import Image

from a2sg_zoo.datasets import ImageFolder, ImageNet
from a2sg_zoo.datasets.classes import checked_names, classes_of, listed, require_same_classes
from a2sg_zoo.datasets.folders import ClassFolders
from a2sg_zoo.datasets.pictures import SUFFIXES
from a2sg_zoo.errors import ConfigError, DataError

WRITABLE = [suffix for suffix in SUFFIXES if suffix != '.pgm']


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def split(tmp_path):
    """Two classes of two pictures."""
    for i, name in enumerate(['cat/a.png', 'cat/b.png', 'dog/a.png', 'dog/b.png']):
        write(tmp_path / 'train' / name, i)
    return tmp_path / 'train'


def read(split, **kwargs):
    found = ClassFolders(split, **kwargs)
    return [(os.path.relpath(path, split), found.classes[label]) for path, label in found.samples]


def test_every_suffix_of_pictures_is_read(split, logged):
    for i, suffix in enumerate(WRITABLE):
        write(split / 'cat' / f'small{i}{suffix}')
        write(split / 'dog' / f'LARGE{i}{suffix}').rename(split / 'dog' / f'LARGE{i}{suffix.upper()}')
    assert len(read(split)) == 4 + 2 * len(WRITABLE) and not logged
    assert len(ImageFolder(split.parent, size=8)) == len(ImageNet(split.parent)) == 4 + 2 * len(WRITABLE)


HIDDEN = ['.ipynb_checkpoints', '__MACOSX', '@eaDir', '$RECYCLE.BIN', 'System Volume Information', 'lost+found', '.git']


@pytest.mark.parametrize('name', HIDDEN)
def test_hidden_and_system_folders_are_left_out(split, name, logged):
    expected = read(split)
    for folder in (split, split / 'cat'):
        write(folder / name / 'x.png')
    assert read(split) == expected and ClassFolders(split).classes == ['cat', 'dog'] and not logged
    assert ImageFolder(split.parent, size=8).metainfo['classes'] == ('cat', 'dog')


@pytest.mark.parametrize('name', ['._a.png', '.a.png', '.DS_Store', 'Thumbs.db', 'desktop.ini'])
def test_hidden_and_system_files_are_left_out(split, name):
    expected = read(split)
    for folder in (split, split / 'cat'):
        (folder / name).write_bytes(b'no picture')
    assert read(split) == expected


def test_what_is_left_out_is_counted_and_named_once(split, logged):
    for i in range(5):
        (split / 'cat' / f'{i}.heic').write_bytes(b'')
    (split / 'labels.csv').write_text('')
    (split / 'dog' / 'readme').write_text('')
    read(split)
    assert len(logged) == 1 and all(text in logged[0] for text in (str(split), '7', '.heic: 5', '.csv: 1', '0.heic'))


def test_folders_within_a_class_belong_to_it(split, logged):
    write(split / 'cat' / 'siamese' / 'young' / 'c.png')
    write(split / 'cat' / 'siamese' / '.hidden' / 'd.png')
    assert ('cat/siamese/young/c.png', 'cat') in read(split) and len(read(split)) == 5 and not logged


def test_loops_of_links_end(split):
    (split / 'cat' / 'again').symlink_to(split / 'cat')
    (split / 'cat' / 'up').symlink_to(split)
    (split / 'dog' / 'itself').symlink_to(split / 'dog' / 'itself')
    found = read(split)
    assert len({path for path, _ in found}) == len(found) and [name for _, name in found].count('dog') == 2


def test_links_to_pictures_and_classes_are_followed(split, tmp_path):
    write(tmp_path / 'elsewhere' / 'c.png')
    (split / 'cat' / 'c.png').symlink_to(tmp_path / 'elsewhere' / 'c.png')
    (split / 'fox').symlink_to(tmp_path / 'elsewhere')
    assert ('cat/c.png', 'cat') in read(split) and ('fox/c.png', 'fox') in read(split)


@pytest.mark.parametrize('kind', ['broken link', 'folder'])
def test_a_picture_that_is_no_file_is_named(split, kind):
    path = split / 'cat' / 'c.png'
    path.mkdir() if kind == 'folder' else path.symlink_to('nowhere.png')
    with pytest.raises(DataError, match=str(path)):
        read(split)


@pytest.mark.parametrize('content', [None, 'notes.txt', '.hidden.png', 'inner/notes.txt'])
@pytest.mark.parametrize('complete', [True, False])
def test_a_class_without_pictures(split, content, complete):
    (split / 'fox').mkdir()
    if content is not None:
        (split / 'fox' / content).parent.mkdir(exist_ok=True)
        (split / 'fox' / content).write_text('')
    with pytest.raises(DataError, match=str(split / 'fox')):
        read(split, complete=complete)


def test_no_classes_at_all(tmp_path):
    for path in (tmp_path, tmp_path / 'nowhere', write(tmp_path / 'x.png')):
        with pytest.raises(DataError, match=str(path)):
            read(path)


def test_names_that_are_not_utf8(split):
    os.mkdir(os.fsencode(split) + b'/caf\xe9')
    with open(os.fsencode(split) + b'/caf\xe9/\xff.png', 'wb') as file:
        Image.new('RGB', (8, 8)).save(file, 'png')
    assert len(ImageFolder(split.parent, size=8)) == 5


def test_letters_and_accents_stored_apart(split):
    """As the file systems of a Mac store them."""
    for name in ('cat', 'dog'):
        (split / name).rename(split / unicodedata.normalize('NFD', f'{name} à côté'))
    composed = [unicodedata.normalize('NFC', f'{name} à côté') for name in ('cat', 'dog')]
    assert (
        ClassFolders(split).classes == composed
        and [name for _, name in read(split, classes=composed)][0] == composed[0]
    )
    (split / composed[0]).mkdir()
    with pytest.raises(DataError, match='cat'):
        read(split)


CLASSES = ('airplane', 'bird', 'cat', 'truck')


@pytest.fixture(scope='module')
def four(tmp_path_factory):
    """One picture a class, and what it looks like."""
    root = tmp_path_factory.mktemp('four')
    for i, name in enumerate(CLASSES):
        for split in ('train', 'test', 'val'):
            write(root / split / name / 'x.png', i)
    looks = {name: np.asarray(Image.open(root / 'test' / name / 'x.png')) for name in CLASSES}
    return root, looks


def looks_of(data):
    return {data.metainfo['classes'][item['data_samples']]: item['inputs'].permute(1, 2, 0).numpy() for item in data}


@pytest.mark.parametrize('order', list(permutations(CLASSES))[::5])
def test_labels_follow_from_names_in_any_order(four, order):
    root, looks = four
    for data in (
        ImageFolder(root, train=False, size=8, classes=order),
        ImageNet(root, train=False, classes=list(order)),
    ):
        assert data.metainfo['classes'] == tuple(order)
        found = looks_of(data)
        assert found.keys() == looks.keys() and all(np.array_equal(found[name], looks[name]) for name in CLASSES)


NAMES = st.text('abcdef', min_size=1, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folders=st.permutations(CLASSES).flatmap(lambda names: st.tuples(*(st.just(n) | NAMES for n in names))))
def test_renamed_folders_are_mapped_by_name_or_refused(folders, four, tmp_path_factory):
    """Any permutation and renaming of the folders: the pictures get the labels of their names, or an error names the
    folders that are no classes."""
    root, looks = tmp_path_factory.mktemp('renamed'), four[1]
    for name in set(folders):
        write(root / 'test' / name / 'x.png', CLASSES.index(name) if name in CLASSES else 9)
    strange = set(folders) - set(CLASSES)
    if strange:
        with pytest.raises(DataError) as error:
            ImageFolder(root, train=False, size=8, classes=CLASSES)
        assert all(repr(name) in str(error.value) for name in strange)
    else:
        found = looks_of(ImageFolder(root, train=False, size=8, classes=CLASSES))
        assert found.keys() == set(folders) and all(np.array_equal(found[name], looks[name]) for name in found)


def test_training_wants_every_class_and_evaluation_names_those_that_are_absent(split, logged):
    with pytest.raises(DataError, match="'fox'"):
        read(split, classes=['cat', 'dog', 'fox'])
    assert len(read(split, classes=['fox', 'dog', 'cat'], complete=False)) == 4
    assert len(logged) == 1 and "'fox'" in logged[0] and "'cat'" not in logged[0]


@pytest.mark.parametrize(
    'names',
    ['cat', [], None, [1, 2], ['cat', ''], ['cat', 'cat'], ['cafe\u0301', 'caf\u00e9'], {'cat': 0}, ['cat', None]],
)
def test_lists_of_classes_that_are_none(names):
    with pytest.raises(ConfigError, match='dataset.classes'):
        checked_names(names, 'dataset.classes')


CLASS_LISTS = st.lists(NAMES, min_size=1, max_size=5, unique=True)


@given(CLASS_LISTS, st.data())
def test_lists_of_classes_are_equal_or_an_error_names_the_difference(names, data):
    others = data.draw(st.permutations(names) | CLASS_LISTS)
    if names == others:
        require_same_classes(names, 'a', others, 'b')
        return
    with pytest.raises(ConfigError) as error:
        require_same_classes(names, 'the data', others, 'the weights')
    text = str(error.value)
    assert 'the data' in text and 'the weights' in text
    different = set(names) ^ set(others) or {next(a for a, b in zip(names, others) if a != b)}
    assert all(f"'{name}'" in text for name in different)


def test_many_names_are_cut_and_safe():
    text = listed([f'class {i}\x1b[2J' for i in range(1000)])
    assert 'class 0' in text and '992' in text and len(text) < 300 and '\x1b' not in text


def test_data_sets_that_do_not_name_their_classes():
    class Data:
        pass

    assert classes_of(Data()) is None
    Data.metainfo = dict(palette=[])
    assert classes_of(Data()) is None
    Data.metainfo = dict(classes=('a', 'b'))
    assert classes_of(Data()) == ['a', 'b']


def test_hidden_files_alone_are_no_warning(split):
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    (split / 'cat' / '.DS_Store').write_bytes(b'')
    read(split)
    logger.removeHandler(handler)
    assert [record.levelno for record in seen] == [logging.INFO] and str(Path(split)) in seen[0].getMessage()
