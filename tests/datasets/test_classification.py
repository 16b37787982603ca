"""The data sets of small images, and how they reach a network."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import CIFAR, Digits, ImageFolder, SeededIndex
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.archives import extract

PIPELINE = [dict(type='BatchCrop', padding=4), dict(type='BatchFlip'), dict(type='BatchCutout', size=8)]


def test_digits():
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    assert train.metainfo['classes'] == tuple('0123456789')
    item = train[3]
    assert item['inputs'].shape == (3, 32, 32) and item['inputs'].dtype == torch.uint8
    assert item['inputs'].max() > 200 and {x['data_samples'] for x in (test[i] for i in range(360))} == {*range(10)}
    native = Digits(size=8)
    assert native.images.shape == (1437, 3, 8, 8) and native.images.unique().numel() == 17


def test_parts_of_each_class():
    data, first, rest = (Digits(size=8, per_class=part) for part in (None, (0, 100), (100, None)))
    assert [first.labels.count(label) for label in range(10)] == [100] * 10
    assert len(first) + len(rest) == len(data)
    sevens = [i for i, label in enumerate(data.labels) if label == 7]
    assert first.images[[i for i, label in enumerate(first.labels) if label == 7]].equal(data.images[sevens[:100]])
    assert rest.images[[i for i, label in enumerate(rest.labels) if label == 7]].equal(data.images[sevens[100:]])
    with pytest.raises(ConfigError, match=r'per_class = \(500, None\)'):
        Digits(per_class=(500, None))


def test_an_item_is_a_function_of_its_seed():
    data = Digits(pipeline=PIPELINE)
    items = [SeededIndex(i, seed) for i, seed in ((5, 1), (5, 2), (6, 1))]
    batch = data.__getitems__(items)
    assert not batch[0]['inputs'].equal(batch[1]['inputs'])
    for index, item in zip(items, batch):
        assert data[index]['inputs'].equal(item['inputs'])
    torch.manual_seed(0)
    first = data[5]['inputs']
    assert not data[5]['inputs'].equal(first)
    torch.manual_seed(0)
    assert data[5]['inputs'].equal(first)
    assert data.images.equal(Digits().images)


def test_positions_from_the_end():
    data = Digits(train=False, pipeline=[dict(type='BatchFlip', alternate=True)])
    last, end = data[SeededIndex(len(data) - 1, 3)], data[SeededIndex(-1, 3)]
    assert last['inputs'].equal(end['inputs']) and last['data_samples'] == end['data_samples']
    with pytest.raises(IndexError):
        data[-len(data) - 1]


def test_flips_in_turn_need_indices_that_count_visits():
    data = Digits(train=False, size=8, pipeline=[dict(type='BatchFlip', alternate=True)])
    for indices in ([5, 6], [SeededIndex(5, 1), 6]):
        with pytest.raises(ConfigError, match='alternate.*ResumableSampler'):
            data.__getitems__(indices)


def test_images_on_a_device():
    """The order and the random numbers are those of images without a device."""
    items = [SeededIndex(i, i + 100) for i in (5, 3, 5, 9)]
    found, expected = (Digits(pipeline=PIPELINE, **keys).__getitems__(items) for keys in (dict(device='cpu'), {}))
    assert all(
        a['inputs'].equal(b['inputs']) and a['data_samples'] == b['data_samples'] for a, b in zip(found, expected)
    )
    # a device without values: all that a batch needs of it is computed there
    batch = Digits(size=8, pipeline=PIPELINE, device='meta').__getitems__(items)
    assert {item['inputs'].device.type for item in batch} == {'meta'} and batch[0]['inputs'].shape == (3, 8, 8)


@pytest.mark.parametrize(
    'device, steps, named', [('cud', [], 'cud'), ('meta', ['BatchAutoAugment'], 'BatchAutoAugment')]
)
def test_a_device_that_cannot_augment(device, steps, named):
    with pytest.raises(ConfigError, match=named):
        Digits(size=8, pipeline=[dict(type=step) for step in steps], device=device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_hands_out_the_same_batches():
    items = [SeededIndex(i, i + 100) for i in range(20)]
    found, expected = (Digits(pipeline=PIPELINE, device=device).__getitems__(items) for device in ('cuda', 'cpu'))
    assert all(a['inputs'].cpu().equal(b['inputs']) for a, b in zip(found, expected))


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_hands_out_batches(workers):
    data = Digits(pipeline=PIPELINE)
    order = [SeededIndex(i, i + 100) for i in range(10)]
    loader = DataLoader(data, batch_size=5, sampler=order, num_workers=workers, collate_fn=default_collate)
    batches = list(loader)
    assert [x['inputs'].shape for x in batches] == [(5, 3, 32, 32)] * 2
    assert torch.cat([x['inputs'] for x in batches]).equal(torch.stack([data[i]['inputs'] for i in order]))
    assert torch.cat([x['data_samples'] for x in batches]).tolist() == data.labels[:10]


def write_cifar(root, monkeypatch, num_classes=10):
    """A tiny CIFAR as torchvision stores it."""
    source = getattr(torchvision.datasets, f'CIFAR{num_classes}')
    folder = root / source.base_folder
    folder.mkdir()
    names = [f'class {i}' for i in range(num_classes)]
    pixels = np.random.default_rng(0).integers(256, size=(2, 3 * 32 * 32), dtype=np.uint8)
    key = 'labels' if num_classes == 10 else 'fine_labels'
    for name, _ in source.train_list + source.test_list:
        (folder / name).write_bytes(pickle.dumps({'data': pixels, key: [1, num_classes - 1]}))
    (folder / source.meta['filename']).write_bytes(pickle.dumps({source.meta['key']: names}))
    monkeypatch.setattr(torchvision.datasets.cifar, 'check_integrity', lambda path, md5=None: True)
    return pixels.reshape(2, 3, 32, 32)


@pytest.mark.parametrize('num_classes, train, size', [(10, True, 10), (10, False, 2), (100, True, 2)])
def test_cifar(num_classes, train, size, tmp_path, monkeypatch):
    pixels = write_cifar(tmp_path, monkeypatch, num_classes)
    monkeypatch.setenv('CIFAR_ROOT', str(tmp_path))
    data = CIFAR(num_classes=num_classes, train=train)
    assert len(data) == size and len(data.metainfo['classes']) == num_classes
    assert data[1]['inputs'].equal(torch.from_numpy(pixels[1])) and data[1]['data_samples'] == num_classes - 1


def test_cifar_missing(tmp_path):
    with pytest.raises(DataError) as error:
        CIFAR(tmp_path, num_classes=100)
    for part in (str(tmp_path / 'cifar-100-python'), 'cifar100', 'CIFAR_ROOT', 'data_root=', '--demo'):
        assert part in str(error.value)


def test_cifar_damaged(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        write_cifar(tmp_path, patch)
    with pytest.raises(DataError, match=str(tmp_path)):
        CIFAR(tmp_path)
    with pytest.raises(ConfigError, match='num_classes.*20'):
        CIFAR(tmp_path, num_classes=20)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split in ('train', 'test'):
        for name, suffix, size in (('cat', 'jpg', 32), ('dog', 'png', 32), ('dog', 'JPG', 48)):
            path = tmp_path / split / name / f'{size}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(256, size=(size, size, 3), dtype=np.uint8)).save(path)
    (tmp_path / 'train' / 'dog' / 'notes.txt').write_text('not an image')
    return tmp_path


def test_image_folder(folder):
    data = ImageFolder(folder)
    assert data.metainfo['classes'] == ('cat', 'dog') and data.labels == [0, 1, 1]
    exact = np.array(Image.open(folder / 'train' / 'dog' / '32.png'))
    assert data[1]['inputs'].equal(torch.from_numpy(exact).permute(2, 0, 1))
    assert ImageFolder(folder, train=False, size=16).images.shape == (3, 3, 16, 16)
    part = ImageFolder(folder, per_class=(1, None))
    assert part.labels == [1] and part[0]['inputs'].equal(data[2]['inputs'])
    with pytest.raises(DataError, match=r'per_class = \(2, 3\)'):
        ImageFolder(folder, per_class=(2, 3))


@pytest.mark.parametrize('keep', [0, 200])
def test_damaged_image(folder, keep, logged):
    victim = folder / 'train' / 'cat' / '32.jpg'
    victim.write_bytes(victim.read_bytes()[:keep])
    with pytest.raises(DataError, match=str(victim)):
        ImageFolder(folder)
    assert ImageFolder(folder, on_error='skip').labels == [1, 1]
    assert any(str(victim) in text for text in logged) and any("'cat'" in text for text in logged)


def test_folders_that_do_not_fit(folder):
    with pytest.raises(ConfigError, match='on_error'):
        ImageFolder(folder, on_error='ignore')
    with pytest.raises(DataError, match='nowhere'):
        ImageFolder(folder / 'nowhere')
    for size in (0, -1, 1.5, True, '32', 20_000):
        with pytest.raises(ConfigError, match='size'):
            ImageFolder(folder, size=size)
    for per_class in (3, (1,), (0, 10, 2), ('a', None), (0, 1.5)):
        with pytest.raises(ConfigError, match='per_class'):
            ImageFolder(folder, per_class=per_class)
    for path in folder.glob('test/*/*'):
        path.unlink()
    with pytest.raises(DataError, match=str(folder / 'test' / 'cat')):
        ImageFolder(folder, train=False)


def test_classes_come_from_the_training_or_the_caller(folder):
    given = ImageFolder(folder, train=False, classes=['dog', 'cat'])
    assert given.metainfo['classes'] == ('dog', 'cat') and given.labels == [0, 0, 1]
    assert given[2]['inputs'].equal(ImageFolder(folder, train=False)[0]['inputs'])
    (folder / 'train').rename(folder / 'elsewhere')
    assert ImageFolder(folder, train=False, classes=['dog', 'cat']).labels == [0, 0, 1]
    with pytest.raises(ConfigError, match=str(folder / 'train')):
        ImageFolder(folder, train=False)


ARCHIVE = Path(__file__).parents[3] / 'shared' / 'data' / 'cifar10_jpeg.tar.xz'


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE.is_file(), reason='needs the CIFAR-10 images, cifar10_jpeg.tar.xz')
def test_cifar_as_image_files(tmp_path):
    data_root = extract(ARCHIVE, tmp_path / 'cifar10')
    train, test = ImageFolder(data_root), ImageFolder(data_root, train=False)
    assert train.images.shape == (50000, 3, 32, 32) and test.images.shape == (5000, 3, 32, 32)
    assert train.metainfo['classes'] == (
        'airplane',
        'automobile',
        'bird',
        'cat',
        'deer',
        'dog',
        'frog',
        'horse',
        'ship',
        'truck',
    )
    assert np.bincount(train.labels).tolist() == [5000] * 10
    # the means that the configs normalise by
    means = train.images.double().mean((0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([125.31, 122.95, 113.87]).double(), atol=0.3, rtol=0)
