"""The losses on logits over time, against values worked out by hand."""

import math

import pytest
import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.losses import TET, MeanCrossEntropy

# two time steps, one image, two classes; their mean is (1, 1)
LOGITS = torch.tensor([[[0.0, 2.0]], [[2.0, 0.0]]])
LABEL = torch.tensor([0])
WRONG, RIGHT = math.log(1 + math.exp(2)), math.log(1 + math.exp(-2))


def test_mean_cross_entropy():
    assert MeanCrossEntropy()(LOGITS, LABEL).item() == pytest.approx(math.log(2))
    # each class has half of the mean's probability: smoothing does not matter
    assert MeanCrossEntropy(label_smoothing=0.3)(LOGITS, LABEL).item() == pytest.approx(math.log(2))
    smoothed = MeanCrossEntropy(label_smoothing=0.2)(LOGITS[:1], LABEL)
    assert smoothed.item() == pytest.approx(0.9 * WRONG + 0.1 * RIGHT)


def test_tet():
    steps = (WRONG + RIGHT) / 2
    assert TET(regularization=0.0)(LOGITS, LABEL).item() == pytest.approx(steps)
    assert TET(regularization=1.0)(LOGITS, LABEL).item() == pytest.approx(1.0)  # every logit is 1 away from 1
    assert TET(regularization=1.0, v_threshold=0.0)(LOGITS, LABEL).item() == pytest.approx(2.0)
    assert TET()(LOGITS, LABEL).item() == pytest.approx(0.95 * steps + 0.05)


@pytest.mark.parametrize('loss', [MeanCrossEntropy(), TET()])
def test_soft_targets(loss):
    logits = torch.randn(3, 4, 5)
    labels = torch.randint(5, (4,))
    certain = torch.nn.functional.one_hot(labels, 5).float()
    torch.testing.assert_close(loss(logits, certain), loss(logits, labels))
    mixed = 0.25 * certain + 0.75 * certain.flip(0)
    torch.testing.assert_close(loss(logits, mixed), 0.25 * loss(logits, labels) + 0.75 * loss(logits, labels.flip(0)))


@pytest.mark.parametrize(
    'make, key',
    [
        (lambda: MeanCrossEntropy(label_smoothing=1.5), 'label_smoothing.*1.5'),
        (lambda: TET(regularization='much'), 'regularization.*much'),
        (lambda: TET(v_threshold='a'), "TET: v_threshold.*'a'"),
    ],
)
def test_mistakes(make, key):
    with pytest.raises(ConfigError, match=key):
        make()
