"""Augmentation of event frames against torchvision, a sample at a time."""

from math import floor

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from a2sg_zoo.datasets.augment import Draws
from a2sg_zoo.datasets.event_augment import BatchEventAugment
from a2sg_zoo.errors import ConfigError

SEEDS = list(range(60))
HEIGHT, WIDTH = 20, 26


@pytest.fixture
def frames():
    return torch.randint(256, (len(SEEDS), 3, 2, HEIGHT, WIDTH)).float()


def numbers():
    """The uniform numbers that each sample draws: for the mirror, the choice, and two for the operation."""
    draws = Draws(SEEDS)
    return zip(*[draws.uniform().tolist() for _ in range(4)])


def alone(name, x, u, v):
    """One operation on one sample, by torchvision or by hand."""
    if name == 'roll':
        return x.roll((floor(u * 7) - 3, floor(v * 7) - 3), (2, 3))
    if name == 'rotate':
        return TF.rotate(x, (2 * u - 1) * 40, InterpolationMode.NEAREST)
    if name == 'shear':
        return TF.affine(
            x, angle=0, translate=[0, 0], scale=1, shear=[(2 * u - 1) * 25, 0], interpolation=InterpolationMode.NEAREST
        )
    if name == 'cutout':
        x = x.clone()
        top, left = floor(u * HEIGHT) - 3, floor(v * WIDTH) - 3
        x[..., max(0, top) : top + 6, max(0, left) : left + 6] = 0
    return x


@pytest.mark.parametrize(
    'operations',
    [['identity'], ['roll'], ['rotate'], ['shear'], ['cutout'], ['roll', 'rotate', 'cutout', 'shear', 'identity']],
    ids=' '.join,
)
def test_operations(operations, frames):
    transform = BatchEventAugment(operations, flip=0.4, roll=3, rotate=40, shear=25, cutout=6)
    results = transform(frames, Draws(SEEDS))
    assert results.shape == frames.shape and results.dtype == frames.dtype
    different = mirrored = 0
    for x, y, (a, b, u, v) in zip(frames, results, numbers()):
        expected = alone(operations[floor(b * len(operations))], x.flip(3) if a < 0.4 else x, u, v)
        different += (expected != y).float().mean().item() / len(frames)
        mirrored += a < 0.4
    # half way between two pixels, single precision may choose the other one
    assert different < (2e-3 if {'rotate', 'shear'} & {*operations} else 1e-9)
    assert 10 < mirrored < 40


def test_a_sample_depends_on_its_seed_alone(frames):
    transform, before = BatchEventAugment(), frames.clone()
    together = transform(frames, Draws(SEEDS))
    assert not together.equal(frames) and frames.equal(before)
    some = [7, 3, 31]
    assert transform(frames[some], Draws([SEEDS[i] for i in some])).equal(together[some])


def test_all_frames_of_a_sample_go_together(frames):
    still = frames[:, :1].expand(-1, 3, -1, -1, -1)
    augmented = BatchEventAugment(['roll', 'rotate', 'shear', 'cutout'])(still, Draws(SEEDS))
    assert augmented.equal(augmented[:, :1].expand_as(augmented)) and not augmented.equal(still)


def test_strengths_reach_their_ends():
    """A mark in the centre of a row goes everywhere within the range, and nowhere else."""
    mark = torch.zeros(2000, 1, 2, 21, 21)
    mark[..., 10, 10] = 1
    rolled = BatchEventAugment(['roll'], flip=0, roll=5)(mark, Draws(range(2000)))[:, 0, 0].sum(0)
    assert (rolled[5:16, 5:16] > 0).all() and rolled[5:16, 5:16].sum() == 2000
    cut = BatchEventAugment(['cutout'], flip=0, cutout=4)(torch.ones_like(mark), Draws(range(2000)))[:, 0, 0]
    assert (cut.mean(0) < 1).all() and (1 - cut).sum((1, 2)).max() == 16


@pytest.mark.parametrize('operations, message', [(['spin', 'roll'], 'got spin'), ([], 'got none')])
def test_mistakes(operations, message):
    with pytest.raises(ConfigError, match=f'must be some of identity, roll, rotate, shear, cutout, {message}'):
        BatchEventAugment(operations)
