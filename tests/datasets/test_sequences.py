"""Images read piece by piece; MNIST and CIFAR in the files that torchvision reads."""

import gzip
import struct

import numpy as np
import pytest
import torch

from a2sg_zoo.datasets import CIFAR, MNIST, Digits, DigitSequences, SeededIndex, ToSequence
from a2sg_zoo.datasets.sequences import fixed_permutation, to_sequences
from a2sg_zoo.errors import ConfigError, DataError
from tests.datasets.test_classification import write_cifar


def test_orders():
    images = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    pixels, rows, columns = (to_sequences(images, by) for by in ('pixel', 'row', 'column'))
    assert (pixels.shape, rows.shape, columns.shape) == ((2, 20, 3), (2, 4, 15), (2, 5, 12))
    for b, c, h, w in np.ndindex(2, 3, 4, 5):
        value = images[b, c, h, w]
        assert pixels[b, h * 5 + w, c] == rows[b, h, c * 5 + w] == columns[b, w, c * 4 + h] == value
    assert to_sequences(images, permuted=True).equal(pixels[:, fixed_permutation(20)])


def test_values():
    images = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    plain = ToSequence()(images, None)
    assert plain.dtype == torch.float32 and plain.equal(to_sequences(images / 255))
    mean, std = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    expected = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert ToSequence(mean=mean, std=std)(images, None).equal(to_sequences(expected))


def test_after_the_augmentation():
    pipeline = [dict(type='BatchCrop', padding=1), dict(type='BatchFlip')]
    data = Digits(size=8, pipeline=[*pipeline, dict(type='ToSequence', by='row')])
    images = Digits(size=8, pipeline=pipeline)
    items = [SeededIndex(i, seed) for i, seed in ((4, 1), (4, 2), (9, 1))]
    for sequence, image in zip(data.__getitems__(items), images.__getitems__(items)):
        assert sequence['inputs'].shape == (8, 24)
        assert sequence['inputs'].equal(to_sequences(image['inputs'][None] / 255, 'row')[0])


@pytest.mark.parametrize('make', [ToSequence, DigitSequences])
def test_mistakes(make):
    with pytest.raises(ConfigError, match='by.*diagonal'):
        make(by='diagonal')
    with pytest.raises(ConfigError, match='permuted.*by'):
        make(by='column', permuted=True)


def test_no_deviation():
    with pytest.raises(ConfigError, match='std'):
        ToSequence(std=[1.0, 0.0, 1.0])


def test_means_and_deviations_of_other_channels():
    for name in ('mean', 'std'):
        with pytest.raises(ConfigError, match=f'ToSequence: {name}'):
            ToSequence(**{name: [1.0, 2.0, 3.0]})(torch.zeros(2, 1, 4, 4), None)


def write_mnist(root, n=20, seed=0):
    """Tiny files in the IDX format, as torchvision unpacks them: the images of both splits."""
    folder = root / 'MNIST' / 'raw'
    folder.mkdir(parents=True)
    images = {}
    for i, split in enumerate(('train', 't10k')):
        pixels = np.random.default_rng(seed + i).integers(256, size=(n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        (folder / f'{split}-images-idx3-ubyte').write_bytes(struct.pack('>4i', 2051, n, 28, 28) + pixels.tobytes())
        (folder / f'{split}-labels-idx1-ubyte').write_bytes(struct.pack('>2i', 2049, n) + labels.tobytes())
        images[split] = torch.from_numpy(pixels)
    return images


def test_mnist(tmp_path, monkeypatch):
    images = write_mnist(tmp_path)
    data = MNIST(tmp_path)
    assert len(data) == 20 and data.metainfo['classes'] == tuple('0123456789') and data[13]['data_samples'] == 3
    assert data[13]['inputs'].equal(images['train'][13][None]) and data[13]['inputs'].dtype == torch.uint8
    monkeypatch.setenv('MNIST_ROOT', str(tmp_path))
    item = MNIST(train=False, pipeline=[dict(type='ToSequence')])[2]
    assert item['inputs'].shape == (784, 1) and item['inputs'][:, 0].equal(images['t10k'][2].flatten() / 255)
    permuted = MNIST(train=False, pipeline=[dict(type='ToSequence', permuted=True)])[2]
    assert permuted['inputs'].equal(item['inputs'][fixed_permutation(784)])
    assert len(MNIST(per_class=(0, 1))) == 10


@pytest.mark.parametrize('change', ['missing', 'cut', 'gzip', 'labels', 'count', 'empty'])
def test_mnist_damaged(tmp_path, change):
    write_mnist(tmp_path)
    images, labels = (tmp_path / 'MNIST' / 'raw' / f'train-{x}-ubyte' for x in ('images-idx3', 'labels-idx1'))
    if change == 'missing':
        labels.unlink()
    elif change == 'cut':
        images.write_bytes(images.read_bytes()[:1000])
    elif change == 'gzip':
        images.write_bytes(gzip.compress(images.read_bytes()))
    elif change == 'labels':
        labels.write_bytes(labels.read_bytes()[:-1] + b'\x0b')
    elif change == 'count':
        labels.write_bytes(struct.pack('>2i', 2049, 5) + bytes(5))
    else:
        images.write_bytes(struct.pack('>4i', 2051, 0, 28, 28))
        labels.write_bytes(struct.pack('>2i', 2049, 0))
    with pytest.raises(DataError, match=str(tmp_path / 'MNIST' / 'raw')):
        MNIST(tmp_path)


def test_mnist_missing(tmp_path):
    with pytest.raises(DataError) as error:
        MNIST(tmp_path)
    for part in (str(tmp_path / 'MNIST' / 'raw'), 'a2sg-zoo download_dataset mnist --root', 'MNIST_ROOT', '--demo'):
        assert part in str(error.value)


def test_sequential_cifar(tmp_path, monkeypatch):
    write_cifar(tmp_path, monkeypatch)
    images = CIFAR(tmp_path, train=False)
    for by, shape in (('pixel', (1024, 3)), ('column', (32, 96))):
        item = CIFAR(tmp_path, train=False, pipeline=[dict(type='ToSequence', by=by)])[1]
        assert item['inputs'].shape == shape
        assert item['inputs'].equal(to_sequences(images[1]['inputs'][None] / 255, by)[0])
