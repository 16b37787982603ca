"""The batch transforms against a loop over images, and their random numbers."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.v2 import functional as TF

from a2sg_zoo.datasets import auto_augment
from a2sg_zoo.datasets.augment import BatchCrop, BatchCutout, BatchErasing, BatchFlip, Draws
from a2sg_zoo.datasets.auto_augment import BatchAutoAugment, BatchRandAugment
from a2sg_zoo.datasets.event_augment import BatchEventAugment
from a2sg_zoo.datasets.timm_augment import TimmRandAugment
from a2sg_zoo.errors import ConfigError
from tests.fake_gpu import fake_gpu

SEEDS = list(range(40))
TRANSFORMS = [
    BatchCrop(),
    BatchFlip(),
    BatchCutout(prob=0.5),
    BatchAutoAugment(),
    BatchRandAugment(),
    BatchErasing(prob=0.5),
    BatchRandAugment(1, magnitude_std=0.5, prob=0.5),
]


@pytest.fixture
def images():
    return torch.randint(256, (len(SEEDS), 3, 12, 16), dtype=torch.uint8)


def test_crop(images):
    draws = Draws(SEEDS)
    tops, lefts = draws.integers(5).tolist(), draws.integers(5).tolist()
    loop = [F.pad(x, [2] * 4)[:, top : top + 12, left : left + 16] for x, top, left in zip(images, tops, lefts)]
    assert BatchCrop(padding=2)(images, Draws(SEEDS)).equal(torch.stack(loop))
    assert {*tops} == {*lefts} == {*range(5)}


def test_flip(images):
    flipped = BatchFlip(prob=0.3)(images, Draws(SEEDS))
    for x, y, u in zip(images, flipped, Draws(SEEDS).uniform().tolist()):
        assert y.equal(x.flip(2) if u < 0.3 else x)


def test_flips_in_turn_show_every_image_both_ways(images):
    indices = list(range(100, 100 + len(images)))
    flip = BatchFlip(alternate=True)
    passes = []
    for visit in range(4):
        # the seeds, which differ in every pass, do not matter
        out = flip(images, Draws([seed + 1000 * visit for seed in SEEDS], indices, [visit] * len(images)))
        flipped = torch.tensor([y.equal(x.flip(2)) for x, y in zip(images, out)])
        assert all(y.equal(x.flip(2) if f else x) for x, y, f in zip(images, out, flipped))
        passes.append(flipped)
    assert passes[0].equal(~passes[1]) and passes[0].equal(passes[2]) and passes[1].equal(passes[3])
    many = torch.zeros(10_000, 1, 1, 2, dtype=torch.uint8)
    many[..., 1] = 1
    first = flip(many, Draws([0] * 10_000, range(10_000), [0] * 10_000))[:, 0, 0, 0]
    assert abs(first.float().mean() - 0.5) < 0.02 and abs(first[::2].float().mean() - 0.5) < 0.03


def test_flips_in_turn_need_what_they_count_by(images):
    with pytest.raises(ConfigError, match='alternate'):
        BatchFlip(prob=0.3, alternate=True)
    with pytest.raises(ConfigError, match='alternate.*ResumableSampler'):
        BatchFlip(alternate=True)(images, Draws(SEEDS))


def test_cutout(images):
    draws = Draws(SEEDS)
    chosen, rows, columns = draws.uniform().tolist(), draws.integers(12).tolist(), draws.integers(16).tolist()
    cut = BatchCutout(size=6, prob=0.7, fill=(1, 2.6, 3))(images, Draws(SEEDS))
    for x, y, u, row, column in zip(images, cut, chosen, rows, columns):
        expected = x.clone()
        if u < 0.7:
            for channel, value in enumerate((1, 3, 3)):
                expected[channel, max(0, row - 3) : row + 3, max(0, column - 3) : column + 3] = value
        assert y.equal(expected)


@pytest.mark.parametrize('transform', [BatchCutout, BatchErasing])
def test_images_keep_their_channels(transform, images):
    grey = transform(prob=1.0, fill=(7,))(images[:, :1], Draws(SEEDS))
    assert grey.shape[1] == 1 and grey.equal(transform(prob=1.0, fill=(7, 7, 7))(images, Draws(SEEDS))[:, :1])
    with pytest.raises(ConfigError, match=f'{transform.__name__}: fill'):
        transform(fill=(1, 2, 3))(images[:, :1], Draws(SEEDS))


def test_auto_augment_applies_to_groups_what_it_would_to_each(images):
    kinds = [(name, 0.7) for name in auto_augment._OPERATIONS]
    choice = torch.arange(len(images)) % (len(kinds) + 1) - 1
    negative = torch.arange(len(images)) % 2 == 0
    together = auto_augment._apply(images, kinds, choice, negative, [5, 6, 7])
    alone = [
        auto_augment._apply(*x, kinds, c, n, [5, 6, 7])
        for *x, c, n in zip(images.split(1), choice.split(1), negative.split(1))
    ]
    assert together.equal(torch.cat(alone)) and together[choice == -1].equal(images[choice == -1])


@pytest.mark.parametrize('name', auto_augment._OPERATIONS)
def test_operations_are_those_of_torchvision(name, images):
    space = AutoAugment(AutoAugmentPolicy.CIFAR10)
    magnitudes, signed = space._AUGMENTATION_SPACE[name]
    strengths = magnitudes(10, 12, 16)
    for sign in (1, -1) if signed else (1,):
        magnitude = sign * float(strengths[6]) if strengths is not None else 0.0
        expected = space._apply_image_or_video_transform(
            images, name, magnitude, interpolation=TF.InterpolationMode.NEAREST, fill={torch.Tensor: [9, 9, 9]}
        )
        ours = auto_augment._OPERATIONS[name](images, sign * 6 / 9, [9, 9, 9])
        # torchvision's strengths have single precision, so a product may fall on the other side of an integer
        assert (ours.int() - expected.int()).abs().max() <= 1


def test_policies_are_those_of_torchvision():
    published = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    assert len(published) == len(auto_augment._CIFAR10)
    for theirs, ours in zip(published, auto_augment._CIFAR10):
        for (name, probability, magnitude), mine in zip(theirs, ours):
            assert mine[:2] == (name, probability) and magnitude in (None, mine[2])


@pytest.mark.parametrize('transform', TRANSFORMS, ids=lambda t: type(t).__name__)
def test_an_image_depends_on_its_seed_alone(transform, images):
    before = images.clone()
    together = transform(images, Draws(SEEDS))
    assert together.shape == images.shape and together.dtype == torch.uint8
    assert not together.equal(images) and images.equal(before)
    some = [7, 3, 31]
    assert transform(images[some], Draws([SEEDS[i] for i in some])).equal(together[some])


def test_numbers_are_uniform_and_unrelated():
    draws = Draws([2**64 - 1, *range(1, 20_000)])
    first, second = draws.uniform(), draws.uniform()
    for u in (first, second):
        assert 0 <= u.min() and u.max() < 1
        assert torch.histc(u, 10, 0, 1).sub(2000).abs().max() < 200  # 4.7 standard deviations
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.03
    assert abs(torch.corrcoef(torch.stack([first[1:], first[:-1]]))[0, 1]) < 0.03


def test_splitmix64():
    """The first number of the published generator for the seed 1234567."""
    assert Draws([1234567]).uniform().item() == (6457827717110365317 >> 11) / 2**53


@pytest.mark.parametrize(
    'transform, mistakes',
    [
        (BatchCrop, dict(padding=[-1, 1.5])),
        (BatchFlip, dict(prob=[5, -0.1, 'a'])),
        (BatchCutout, dict(size=[-3, 0, 2.5], prob=[2], fill=[(300,), (-1,), -1, 'red'])),
        (
            BatchErasing,
            dict(prob=[2], scale=[(0, 0), (0.3, 0.1), (0.1, 2), 0.1], ratio=[(0, 1), (2, 1)], fill=[(0, 256, 0)]),
        ),
        (BatchAutoAugment, dict(fill=[(0, 0, -2)])),
        (BatchRandAugment, dict(num_ops=[-1, 1.5], magnitude=[30], magnitude_std=[-1], prob=[7], fill=[(256,)])),
        (TimmRandAugment, dict(fill=[(0, 0, 300), (-1, 0, 0)])),
        (BatchEventAugment, dict(flip=[2], roll=[-1, 0.5], rotate=[-1], shear=[90], cutout=[-1])),
    ],
)
def test_mistakes(transform, mistakes):
    for name, values in mistakes.items():
        for value in values:
            with pytest.raises(ConfigError, match=f'{transform.__name__}: {name}'):
                transform(**{name: value})


def test_normal_numbers():
    x = Draws(range(20000)).normal()
    assert abs(x.mean()) < 0.03 and abs(x.std() - 1) < 0.03
    assert abs((x.abs() < 1).double().mean() - 0.6827) < 0.01


def test_erasing():
    """Rectangles, and only they; of the sizes, shapes and number that were asked for; anywhere."""
    images = torch.full((4000, 3, 32, 32), 200, dtype=torch.uint8)
    erased = BatchErasing(prob=0.25, fill=(1, 2.6, 3))(images, Draws(range(4000)))
    gone = (erased == torch.tensor([1, 3, 3], dtype=torch.uint8).view(3, 1, 1)).all(1)
    assert erased[~gone[:, None].expand_as(erased)].unique().tolist() == [200]
    hit = gone.flatten(1).any(1)
    assert abs(hit.double().mean() - 0.25) < 0.03
    heights, widths = gone[hit].any(2).sum(1), gone[hit].any(1).sum(1)
    assert (heights * widths).equal(gone[hit].sum((1, 2)))  # so it is a rectangle
    area, ratio = heights * widths / 32**2, heights / widths
    assert 0.01 < area.min() < 0.04 and 0.3 < area.max() < 0.36
    assert 0.2 < ratio.min() < 0.4 and 2.5 < ratio.max() < 5 and abs(ratio.log().median()) < 0.1
    assert gone.any(0).all()


def test_rand_augment_with_noise(images, monkeypatch):
    seen = []
    monkeypatch.setattr(
        auto_augment,
        '_apply',
        lambda images, kinds, choice, *rest: (
            seen.append([None if i < 0 else kinds[i] for i in choice.tolist()]) or images
        ),
    )
    BatchRandAugment(1, magnitude=9, magnitude_std=0.5, prob=0.5)(images, Draws(range(4000)))
    happened = [kind for kind in seen[0] if kind]
    assert abs(len(happened) / 4000 - 0.5) < 0.03
    assert {name for name, _ in happened} == {*auto_augment._OPERATIONS}
    levels = [round(10 * strength) for _, strength in happened]
    assert {*levels} <= {7, 8, 9, 10} and abs(levels.count(9) / len(levels) - 0.683) < 0.04


ON_ANY_DEVICE = dict(
    crop=lambda: BatchCrop(),
    flip=lambda: BatchFlip(),
    flips_in_turn=lambda: BatchFlip(alternate=True),
    cutout=lambda: BatchCutout(prob=0.5),
    erasing=lambda: BatchErasing(prob=0.5),
)


def draws():
    return Draws(SEEDS, SEEDS, [1] * len(SEEDS))


@pytest.mark.parametrize('make', ON_ANY_DEVICE.values(), ids=[*ON_ANY_DEVICE])
def test_only_small_tensors_follow_the_images_to_a_device(make, images):
    """Random numbers are drawn on the host, and torch is asked for no copy that it would wait for."""
    with fake_gpu() as crossings:
        on_gpu = torch.zeros(images.shape, dtype=torch.uint8, device='cuda')
        transform = make()
        crossings.clear()
        found = transform(on_gpu, draws())
        assert found.device.type == 'cuda' and found.shape == images.shape and found.dtype == torch.uint8
        assert {*crossings} == {'aten._to_copy.default'}
    assert transform.any_device


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('make', ON_ANY_DEVICE.values(), ids=[*ON_ANY_DEVICE])
def test_a_gpu_gives_the_same_images(make, images):
    transform = make()
    assert transform(images.cuda(), draws()).cpu().equal(transform(images, draws()))
