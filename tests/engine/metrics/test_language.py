"""Bits per character, against probabilities that are known."""

import math

import pytest
import torch

from a2sg_zoo.engine.metrics import BitsPerCharacter
from a2sg_zoo.errors import DataError, NonFiniteError


def scores(*samples):
    metric = BitsPerCharacter()
    metric.process(None, samples)
    return metric.compute_metrics(metric.results)


def test_a_model_that_knows_nothing_needs_eight_bits():
    found = scores(dict(logits=torch.zeros(5, 256), target=torch.tensor(list(b'hello'))))
    assert found['bits_per_character'] == pytest.approx(8) and found['perplexity'] == pytest.approx(256)
    assert found['bytes'] == 5


def test_known_probabilities():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]])
    found = scores(dict(logits=p.log(), target=torch.tensor([0, 1, -100])))
    bits = -(math.log2(0.5) + math.log2(0.2)) / 2
    assert found['bits_per_character'] == pytest.approx(bits, rel=1e-6)
    assert found['bits_per_byte'] == found['bits_per_character'] and found['top1'] == 50
    assert found['perplexity'] == pytest.approx(2**bits, rel=1e-6)


def test_characters_of_more_than_one_byte_and_parts_of_the_text():
    target = torch.tensor(list('né€'.encode()))
    logits = torch.randn(6, 256)
    whole = scores(dict(logits=logits, target=target))
    assert whole['bits_per_character'] == pytest.approx(2 * whole['bits_per_byte'])
    # in any division into sequences
    parts = scores(dict(logits=logits[:2], target=target[:2]), dict(logits=logits[2:], target=target[2:]))
    assert parts == pytest.approx(whole)


def test_names():
    found = scores(dict(logits=torch.zeros(1, 256), target=torch.tensor([65])))
    assert list(found) == BitsPerCharacter.score_names()


def test_nothing_and_not_finite():
    with pytest.raises(DataError):
        scores()
    with pytest.raises(DataError):
        scores(dict(logits=torch.zeros(2, 256), target=torch.tensor([-100, -100])))
    with pytest.raises(NonFiniteError):
        scores(dict(logits=torch.full((2, 256), torch.nan), target=torch.tensor([1, 2])))


def test_a_network_that_is_sure_and_wrong():
    logits = torch.zeros(2, 256)
    logits[:, 1] = 1e6
    found = scores(dict(logits=logits, target=torch.tensor([65, 66])))
    assert found['bits_per_byte'] > 1e6 and math.isfinite(found['perplexity'])
