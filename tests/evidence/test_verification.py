"""The figures of `a2sg-zoo verify`: they are small where all is right, and large where something is wrong."""

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import ExactSearcher, attach
from a2sg_zoo.evidence.verification import NEURONS, Checked, gradient_error
from a2sg_zoo.neurons import LIF
from a2sg_zoo.surrogates import TRI


@pytest.mark.parametrize('name', NEURONS)
def test_the_backward_pass_agrees_with_autograd(name):
    assert gradient_error(NEURONS[name], T=3) < 1e-12


def test_a_wrong_backward_pass_is_seen():
    def wrong(surrogate, **kwargs):
        return LIF(surrogate=TRI(0.3), **kwargs)

    assert gradient_error(wrong, T=3) > 0.01


class First(ExactSearcher):
    """The first candidate, whatever it costs."""

    def __call__(self, objective, seed):
        index, found = super().__call__(objective, seed)
        return torch.zeros_like(index), found


def checked_choices(searcher):
    network = nn.Sequential(nn.Linear(6, 40), LIF(), nn.Linear(40, 30), LIF(v_threshold=0.2), nn.Linear(30, 5)).double()
    policy = Checked(searcher=searcher, sample=None, candidates=40)
    attach(network, policy)
    policy.begin(0, seed=0)
    network(5 * torch.randn(4, 8, 6, dtype=torch.float64)).square().mean().backward()
    assert all(policy.gaps.values())
    return torch.tensor([in_step for gaps in policy.gaps.values() for _, in_step in gaps])


def test_choices_of_an_exact_search_are_within_a_step_of_the_best():
    assert checked_choices(ExactSearcher()).mean() == 1


def test_bad_choices_are_seen():
    assert checked_choices(First()).mean() < 0.8
