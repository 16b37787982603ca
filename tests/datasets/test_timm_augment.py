"""TimmRandAugment against timm itself, which is fed with the same random numbers: equal to the bit."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from a2sg_zoo.datasets import Draws, TimmRandAugment
from a2sg_zoo.errors import ConfigError

FILL = (125.31, 122.95, 113.87)


@pytest.fixture
def timm():
    return pytest.importorskip('timm.data.auto_augment', reason='timm is one of the test extras')


def smooth(number, size=32):
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(number, 3, size // 4, size // 4, generator=generator)
    images = torch.nn.functional.interpolate(noise, (size, size), mode='bilinear')
    return (images * 255 + 8 * torch.randn(images.shape, generator=generator)).clamp(0, 255).byte()


class FromDraws:
    """Stands in for `random` and `numpy.random`, and gives timm the numbers of one sample, in the order of `Draws`."""

    def __init__(self, seed, kinds):
        self.draws, self.kinds, self.used = Draws([seed]), kinds, 0

    def choice(self, ops, n, replace=True, p=None):
        assert n == 1 and p is None and len(ops) == self.kinds
        self.index = self.draws.integers(self.kinds).item()
        self.rest = [self.draws.uniform().item(), self.draws.normal().item(), self.draws.uniform().item()]
        return [ops[self.index]]

    def random(self):
        self.used += 1
        return self.rest[0] if self.used == 1 else self.rest[2]

    def gauss(self, mean, std):
        return mean + std * self.rest[1]


def by_timm(timm, monkeypatch, image, seed, text, kinds=15, transforms=None, **hparams):
    numbers = FromDraws(seed, kinds)
    monkeypatch.setattr(timm.random, 'random', numbers.random)
    monkeypatch.setattr(timm.random, 'gauss', numbers.gauss)
    monkeypatch.setattr(timm.np.random, 'choice', numbers.choice)
    hparams = dict(img_mean=tuple(min(255, round(x)) for x in FILL), **hparams)
    augment = timm.rand_augment_transform(text, hparams, transforms)
    result = augment(Image.fromarray(image.permute(1, 2, 0).numpy()))
    monkeypatch.undo()
    return torch.from_numpy(np.array(result)).permute(2, 0, 1)


@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
def test_equals_timm(timm, monkeypatch, interpolation):
    images, seeds = smooth(300), [7 * i + 3 for i in range(300)]
    ours = TimmRandAugment(fill=FILL, interpolation=interpolation)(images, Draws(seeds))
    resample = getattr(Image.Resampling, interpolation.upper())
    theirs = [
        by_timm(timm, monkeypatch, x, seed, 'rand-m9-n1-mstd0.4-inc1', interpolation=resample)
        for x, seed in zip(images, seeds)
    ]
    assert ours.equal(torch.stack(theirs))
    changed = (ours != images).flatten(1).any(1)
    assert 0.4 < changed.float().mean() < 0.6


@pytest.mark.parametrize('magnitude', [0, 3, 10])
def test_equals_timm_at_other_magnitudes(timm, monkeypatch, magnitude):
    images, seeds = smooth(120, 16), range(120)
    ours = TimmRandAugment(magnitude=magnitude, magnitude_std=2, prob=1.0, fill=FILL)(images, Draws(seeds))
    text = f'rand-m{magnitude}-n1-mstd2-p0.999999999-inc1'  # with p = 1 timm draws one number less
    theirs = [
        by_timm(timm, monkeypatch, x, seed, text, interpolation=Image.Resampling.BICUBIC)
        for x, seed in zip(images, seeds)
    ]
    assert ours.equal(torch.stack(theirs))


def test_equals_timm_with_some_operations(timm, monkeypatch):
    names = ['Equalize', 'Rotate', 'ShearX', 'TranslateX', 'TranslateY']
    theirs_names = ['Equalize', 'Rotate', 'ShearX', 'TranslateXRel', 'TranslateYRel']
    images, seeds = smooth(60), range(60)
    ours = TimmRandAugment(operations=names, fill=FILL)(images, Draws(seeds))
    theirs = [
        by_timm(
            timm,
            monkeypatch,
            x,
            seed,
            'rand-m9-n1-mstd0.4-inc1',
            5,
            theirs_names,
            interpolation=Image.Resampling.BICUBIC,
        )
        for x, seed in zip(images, seeds)
    ]
    assert ours.equal(torch.stack(theirs))


def test_an_image_depends_on_its_seed_alone():
    images, seeds = smooth(20), list(range(20))
    together = TimmRandAugment(num_ops=2)(images, Draws(seeds))
    before = images.clone()
    random.seed(5)
    assert TimmRandAugment(num_ops=2)(images[5:9], Draws(seeds[5:9])).equal(together[5:9])
    assert images.equal(before)


@pytest.mark.parametrize(
    'arguments, key',
    [
        (dict(operations=['Blur']), 'operations.*Blur'),
        (dict(operations=[]), 'operations'),
        (dict(interpolation='nearest'), 'interpolation.*nearest'),
        (dict(magnitude=11), 'magnitude'),
        (dict(prob=2), 'prob'),
        (dict(num_ops=0), 'num_ops'),
    ],
)
def test_wrong_arguments_are_refused(arguments, key):
    with pytest.raises(ConfigError, match=key):
        TimmRandAugment(**arguments)


def test_images_of_one_channel_are_refused():
    with pytest.raises(ConfigError, match='3 channels.*got 1'):
        TimmRandAugment()(smooth(2)[:, :1], Draws([1, 2]))
