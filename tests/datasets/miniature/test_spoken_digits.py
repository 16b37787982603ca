"""Spike trains drawn by rule: the same everywhere, and only time tells their classes apart."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from a2sg_zoo.datasets import SpokenDigits
from a2sg_zoo.errors import ConfigError


def test_samples():
    train, test = SpokenDigits(), SpokenDigits(train=False)
    assert (len(train), len(test)) == (2000, 500) and train.metainfo == dict(classes=tuple('0123456789'), T=64)
    item = train[13]
    assert item['inputs'].shape == (64, 64) and item['inputs'].dtype == torch.float32 and item['data_samples'] == 3
    assert train.images.unique().tolist() == [0, 1] and 0.04 < train.images.mean() < 0.07
    assert np.bincount(train.labels).tolist() == [200] * 10
    assert not train.images[:500].equal(test.images)
    small = SpokenDigits(T=20, channels=32, samples=30)
    assert small.images.shape == (30, 20, 32) and small.metainfo['T'] == 20
    assert not SpokenDigits(samples=30, seed=1).images.equal(SpokenDigits(samples=30, seed=2).images)


def test_every_machine_draws_the_same():
    spikes = SpokenDigits().images.numpy().astype(bool)
    assert (
        hashlib.sha256(np.packbits(spikes).tobytes()).hexdigest()
        == '7cb5ae02f1330f8e5c548260f86fde55bb6e62357d7bc685d90bf29d2aa7a33f'
    )


def test_rates_are_those_of_the_rule():
    """Without jitter, all samples of a word share the rates. They are computed here point by point."""
    spikes = SpokenDigits(samples=6000, jitter=0.0, noise=0.05).images[::10].mean(0)  # word 0
    expected = torch.full((64, 64), 0.05)
    length = (0.4 + 0.85) / 2 * 64
    start = (64 - length) / 2
    for t in range(64):
        place = (t - start) / length
        if 0 <= place < 1:
            formants = [np.interp(place, (0, 0.5, 1), points) * 64 for points in ((0.12, 0.2, 0.4), (0.55, 0.7, 0.8))]
            for channel in range(64):
                nearest = min(abs(channel + 0.5 - f) for f in formants) / (0.055 * 64)
                expected[t, channel] += 0.45 * max(1 - nearest**2, 0) ** 2
    # 600 samples: five standard errors
    assert (spikes - expected).abs().max() < 5 * 0.5 / 600**0.5


def test_counts_do_worse_than_time():
    train, test = SpokenDigits(), SpokenDigits(train=False)

    def accuracy(features):
        classifier = LogisticRegression(C=0.01, max_iter=1000).fit(features(train.images), train.labels)
        return 100 * classifier.score(features(test.images), test.labels)

    counts = accuracy(lambda x: x.sum(1).numpy())
    slices = accuracy(lambda x: x.unflatten(1, (8, 8)).sum(2).flatten(1).numpy())
    assert counts == pytest.approx(40, abs=1) and slices == pytest.approx(84, abs=1)  # as the docstring says


@pytest.mark.parametrize(
    'key, value', [('T', 7), ('channels', 4), ('samples', 0), ('seed', -1), ('noise', 0.9), ('jitter', 2), ('T', 8.5)]
)
def test_mistakes(key, value):
    with pytest.raises(ConfigError, match=key):
        SpokenDigits(**{key: value})
