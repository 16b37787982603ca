"""Digits in motion and their events."""

import numpy as np
import torch

from a2sg_zoo.datasets import EventDigits
from a2sg_zoo.datasets.miniature import event_digits


def test_digits():
    train, test = EventDigits(T=3, size=16), EventDigits(train=False, T=3, size=16)
    assert (len(train), len(test)) == (1437, 360) and train.metainfo == dict(classes=tuple('0123456789'), T=3)
    assert train[0]['inputs'].shape == (3, 2, 16, 16) and train.images.sum((2, 3, 4)).min() > 20
    assert train.images.equal(train.images.round()) and train.images.min() == 0
    assert EventDigits(T=3, size=16).images.equal(train.images)
    off, on = train.images.sum(1).unbind(1)
    assert off.equal(on)  # they end where they began


def test_events_are_those_of_an_ideal_pixel():
    """Against a loop over pixels and positions."""
    images = torch.rand(2, 1, 8, 8, dtype=torch.double)
    frames = event_digits.moving_events(images, T=3, size=10, threshold=0.3, steps=4)
    expected = torch.zeros_like(frames)
    angles = torch.linspace(0, 2 * torch.pi, 13).tolist()
    levels = torch.stack([(event_digits._shifted(images, 10, angle)[:, 0] + 0.2).log() for angle in angles])
    for n, row, column in np.ndindex(2, 10, 10):
        remembered = levels[0, n, row, column]
        for step, level in enumerate(levels[1:, n, row, column]):
            while abs(level - remembered) >= 0.3 * 0.999:
                up = level > remembered
                remembered = remembered + (0.3 if up else -0.3)
                expected[n, step // 4, int(up), row, column] += 1
    assert frames.equal(expected) and frames.sum() > 500


def test_digits_move_round_a_circle():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 3:5, 3:5] = 1
    y, x = torch.meshgrid(*[torch.arange(24) - 11.5] * 2, indexing='ij')
    for angle in (0.0, 1.0, 2.5, 4.0):
        moved = event_digits._shifted(images, 24, angle)[0, 0]
        centre = torch.stack([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
        torch.testing.assert_close(
            centre, torch.tensor([np.cos(angle), np.sin(angle)], dtype=torch.float32) * 2, atol=0.05, rtol=0
        )
