"""Neurons that the network does not call, or that ask no controller, are named."""

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF, compute_reference

T = 4


class Network(nn.Module):
    """Two layers of neurons behind linear maps: (T, B, 6) to (T, B, 5)."""

    def __init__(self, **neuron):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 40), LIF(**neuron)
        self.fc2, self.lif2 = nn.Linear(40, 30), LIF(v_threshold=0.5, **neuron)
        self.readout = nn.Linear(30, 5)

    def forward(self, x):
        return self.readout(self.lif2(self.fc2(self.lif1(2 * self.fc1(x)))))


def step(model, policy, x, **begin):
    policy.begin(**{'iteration': 0, **begin})
    model.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    return loss


@pytest.fixture
def x():
    return torch.randn(T, 8, 6, dtype=torch.float64)


class OwnForward(LIF):
    def forward(self, x):
        return LIF.forward(self.eval(), x)


def test_a_neuron_that_asks_no_controller_is_named(x):
    class Half(Network):
        def __init__(self):
            super().__init__()
            self.lif2 = OwnForward(v_threshold=0.5)

    model, policy = Half().double(), A2SG()
    attach(model, policy)
    step(model, policy, x)
    with pytest.raises(ConfigError, match='lif2.*OwnForward') as error:
        policy.begin(1)
    assert 'lif1' not in str(error.value)
    fixed = Half().double()
    attach(fixed, policy := Fixed())  # there is nothing to ask
    step(fixed, policy, x)
    policy.begin(1)


def test_a_neuron_that_the_network_does_not_call_is_named(x):
    class Spare(Network):
        def __init__(self):
            super().__init__()
            self.spare = LIF()

    model, policy = Spare().double(), A2SG()
    attach(model, policy)
    step(model, policy, x)
    with pytest.raises(ConfigError, match=r'spare \(LIF\)') as error:
        policy.begin(1)
    assert 'lif1' not in str(error.value)
    # as it is no part of what is trained now, there is nothing to say
    model, policy = Spare().double(), A2SG()
    attach(model, policy)
    model.spare.eval()
    step(model, policy, x)
    policy.begin(1)


def test_a_backend_that_asks_no_controller_is_named(x):
    model, policy = Network().double(), A2SG()
    attach(model, policy)
    model.lif2.backend = compute_reference
    step(model, policy, x)
    with pytest.raises(ConfigError, match=r'lif2 \(LIF\)'):
        policy.begin(1)
