import json
import multiprocessing

import numpy as np
import pytest
from PIL import Image

import a2sg_zoo.datasets.miniature.scenes as module
from a2sg_zoo.datasets import draw_scene, write_scenes
from a2sg_zoo.errors import DataError

CLASSES = (2, 3, 5, 7, 13, 21)


@pytest.fixture(scope='module')
def scenes():
    images, labels = zip(*(draw_scene(seed) for seed in range(60)))
    return np.stack(images), np.stack(labels)


def mean_iou(predicted, labels):
    valid = labels > 0
    return np.mean(
        [((predicted == i) & (labels == i)).sum() / (((predicted == i) & valid) | (labels == i)).sum() for i in CLASSES]
    )


def test_shapes_and_determinism():
    image, label = draw_scene(3)
    assert image.shape == (128, 128, 3) and label.shape == (128, 128)
    assert image.dtype == label.dtype == np.uint8
    again = draw_scene(3)
    assert (again[0] == image).all() and (again[1] == label).all()
    assert (draw_scene(4)[1] != label).any()


@pytest.mark.parametrize('size', [32, 96, 160])
def test_other_sizes_show_the_same_scene(size):
    label = Image.fromarray(draw_scene(3)[1]).resize((size, size), Image.NEAREST)
    other = draw_scene(3, size)[1]
    assert other.shape == (size, size) and (np.asarray(label) == other).mean() > 0.9


def test_classes_are_balanced_enough(scenes):
    _, labels = scenes
    shares = {i: (labels == i).mean() for i in (0, *CLASSES)}
    assert set(np.unique(labels)) <= set(shares)
    assert shares[0] < 0.05 and all(0.02 < shares[i] < 0.4 for i in CLASSES), shares


def test_guesses_score_badly(scenes):
    images, labels = scenes
    assert max(mean_iou(np.full_like(labels, i), labels) for i in CLASSES) < 0.12
    # the likeliest class by colour, 16 levels a channel, learnt on one half and used on the other
    colours = (images // 16).astype(int) @ np.array([256, 16, 1])
    half = len(labels) // 2
    counts = np.zeros((16**3, 22), int)
    np.add.at(counts, (colours[:half], labels[:half]), 1)
    counts[:, 0] = 0
    assert mean_iou(counts.argmax(1)[colours[half:]], labels[half:]) < 0.5
    # the likeliest class by place
    places = np.stack([(labels[:half] == i).mean(0) for i in CLASSES]).argmax(0)
    guess = np.broadcast_to(np.array(CLASSES, np.uint8)[places], labels[half:].shape)
    assert mean_iou(guess, labels[half:]) < 0.5


def test_written_set_has_the_layout_of_ade20k(tmp_path):
    root = write_scenes(tmp_path / 'deep' / 'scenes', train=3, val=2, size=48)
    files = sorted(str(p.relative_to(root)) for p in root.rglob('*.*'))
    assert files == [
        'CACHEDIR.TAG',
        'annotations/training/scene_00000000.png',
        'annotations/training/scene_00000001.png',
        'annotations/training/scene_00000002.png',
        'annotations/validation/scene_01000000.png',
        'annotations/validation/scene_01000001.png',
        'images/training/scene_00000000.jpg',
        'images/training/scene_00000001.jpg',
        'images/training/scene_00000002.jpg',
        'images/validation/scene_01000000.jpg',
        'images/validation/scene_01000001.jpg',
        'scenes.json',
    ]
    image, label = draw_scene(2, 48)
    assert (np.asarray(Image.open(root / 'annotations/training/scene_00000002.png')) == label).all()
    read = np.asarray(Image.open(root / 'images/training/scene_00000002.jpg')).astype(int)
    assert abs(read - image).mean() < 6


def test_same_set_is_reused_and_another_replaces_it(tmp_path, monkeypatch):
    root = write_scenes(tmp_path / 'scenes', train=2, val=1, size=32)
    (root / 'mark').write_text('')
    write_scenes(root, train=2, val=1, size=32)
    assert (root / 'mark').exists()
    write_scenes(root, train=1, val=1, size=32)
    assert not (root / 'mark').exists() and len(list(root.rglob('*.jpg'))) == 2
    monkeypatch.setattr(module, 'VERSION', module.VERSION + 1)
    write_scenes(root, train=1, val=1, size=32)
    assert json.loads((root / 'scenes.json').read_text())['version'] == module.VERSION


def test_half_written_set_never_looks_complete(tmp_path, monkeypatch):
    def fail(seed, size):
        if seed == 10**6:
            raise KeyboardInterrupt
        return draw_scene(seed, size)

    root = tmp_path / 'scenes'
    monkeypatch.setattr(module, 'draw_scene', fail)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(root, train=1, val=1, size=32)
    assert not root.exists()
    monkeypatch.undo()
    write_scenes(root, train=1, val=1, size=32)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != '.lock') == ['scenes']


def test_folder_of_something_else_is_kept(tmp_path):
    (tmp_path / 'thesis.tex').write_text('')
    with pytest.raises(DataError, match='in use'):
        write_scenes(tmp_path, train=1, val=1, size=32)
    assert (tmp_path / 'thesis.tex').exists()


def test_two_processes(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=write_scenes, args=(tmp_path / 'scenes', 8, 2, 48)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list((tmp_path / 'scenes').rglob('*.jpg'))) == 10
