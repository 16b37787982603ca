"""scikit-learn's digits read pixel by pixel, in a fixed order, or row by row."""

import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import Digits, DigitSequences, SeededIndex
from a2sg_zoo.datasets.sequences import fixed_permutation
from a2sg_zoo.errors import ConfigError


@pytest.mark.parametrize('train', [True, False])
def test_a_sequence_is_an_image_pixel_by_pixel(train):
    data, images = DigitSequences(train), Digits(train, size=8)
    assert len(data) == len(images) == (1437 if train else 360) and data.labels == images.labels
    assert data.metainfo == dict(classes=tuple('0123456789'), T=64)
    item = data[7]
    assert item['inputs'].shape == (64, 1) and item['inputs'].dtype == torch.float32
    assert item['inputs'].view(8, 8).mul(255).round().byte().equal(images[7]['inputs'][0])
    assert data.images.min() == 0 and data.images.max() == 1


def test_rows_and_permutation_keep_every_pixel():
    data, rows, permuted = DigitSequences(), DigitSequences(by='row'), DigitSequences(permuted=True)
    assert rows.metainfo['T'] == 8 and rows[3]['inputs'].equal(data[3]['inputs'].view(8, 8))
    assert permuted.images.equal(data.images[:, fixed_permutation(64)]) and not permuted.images.equal(data.images)
    # the order is a part of the task: it must never change
    assert fixed_permutation(64)[:8].tolist() == [45, 29, 43, 61, 34, 33, 31, 40]
    with pytest.raises(ConfigError, match='by.*row'):
        DigitSequences(by='row', permuted=True)


def test_loader():
    data = DigitSequences()
    loader = DataLoader(data, 4, sampler=[SeededIndex(i, 3) for i in range(8)], collate_fn=default_collate)
    batches = list(loader)
    assert [x['inputs'].shape for x in batches] == [(4, 64, 1)] * 2 and batches[1][
        'data_samples'
    ].tolist() == data.labels[4:8]
