"""A search does not starve a small network."""

import re

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach, policies
from a2sg_zoo.neurons import LIF

T = 4


@pytest.fixture
def x():
    return torch.randn(T, 8, 6, dtype=torch.float64)


def small_network(policy, seed=0, steps=60):
    """A network with a spiking output layer on eight pictures, trained by a plain loop; losses and norms."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), lif(), nn.Linear(128, 64), lif(), nn.Linear(64, 10), lif())
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.mul_(2)
    attach(model, policy, T)
    x, labels = torch.rand(8, 64).expand(T, 8, 64), torch.arange(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses, norms = [], []
    for i in range(steps):
        policy.begin(i)
        loss = nn.functional.cross_entropy(model(x).sum(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        norms.append(float(nn.utils.get_total_norm([p.grad for p in model.parameters()])))
    return losses, norms


def lif():
    return LIF(tau=2.0, decay_input=False)


def test_a_search_does_not_starve_a_small_network():
    """Without the guard the temporal search silences the earlier time steps, and nothing is learned."""
    losses, norms = small_network(A2SG(min_inside=0))
    assert min(losses) > 2.3 and max(norms) < 0.003
    losses, norms = small_network(A2SG())
    assert losses[-1] < 0.5 and max(norms) > 0.3


def test_a_starving_layer_is_named_with_its_width_and_share(monkeypatch):
    told = []
    monkeypatch.setattr(policies, 'print_log', lambda text, *args: told.append(text))
    small_network(A2SG(min_inside=0, beta_min=0.001), steps=12)
    assert len(told) == 1 and re.search(r'5 \(t = 1, width 0.0\d+, 0.\d+% inside\)', told[0])
    told.clear()
    small_network(A2SG(), steps=20)
    assert not told
