"""Small networks and neurons for the tests of neurons that are written as one time step."""

import torch
from torch import nn

from a2sg_zoo.neurons import StepNeuron

T = 5


class Leaky(StepNeuron):
    """The dynamics of `LIF`, as a user would write them."""

    def __init__(self, tau=2.0, **kwargs):
        super().__init__(**kwargs)
        self.tau = tau

    def charge(self, state, x):
        (v,) = state
        return v + (x - (v - self.dynamics.v_reset)) / self.tau, state


class Perceptron(nn.Module):
    """Two layers of neurons and a readout, in float64, with the same weights for all neurons."""

    def __init__(self, make, features=40):
        super().__init__()
        torch.manual_seed(0)
        with torch.random.fork_rng():
            self.n1, self.n2 = make(), make()
        self.fc1, self.fc2, self.readout = nn.Linear(6, features), nn.Linear(features, features), nn.Linear(features, 3)
        self.double()

    def forward(self, x):
        return self.readout(self.n2(self.fc2(self.n1(self.fc1(x)))))


def inputs(seed=0, T=T):
    return torch.randn(T, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3


def step(network, policy=None, iteration=0, x=None, **kwargs):
    """{parameter: gradient} of one training step, without an update of the weights."""
    network.zero_grad()
    if policy is not None:
        policy.begin(iteration, **kwargs)
    network(inputs(iteration) if x is None else x).square().mean().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-14, msg=lambda text, key=key: f'{key}: {text}')
