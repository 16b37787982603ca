"""A neuron of somebody's own, its adapter, and a network of it."""

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import Adapter, adapter
from tests.adaptation.foreign.networks import Layers, inputs


class Own(nn.Module):
    """A neuron of somebody's own, one time step a call; it keeps its state itself."""

    def __init__(self, theta=1.0):
        super().__init__()
        self.act, self.theta, self.v = fires, theta, 0.0

    def forward(self, x):
        u = 0.5 * self.v + x
        s = self.act(u - self.theta)
        self.v = u - s.detach() * self.theta
        return s


@adapter(Own)
class OwnAdapter(Adapter):
    spike_attribute, threshold_attribute = 'act', 'theta'


def fires(z):
    return (z >= 0).to(z.dtype)


class Steps(Layers):
    """A network with the time steps inside its forward pass."""

    def __init__(self, make=lambda features: Own()):
        super().__init__(make)

    def forward(self, x):
        self.n1.v = self.n2.v = 0.0
        return torch.stack([self.readout(self.n2(self.fc2(self.n1(self.fc1(x_t))))) for x_t in x])


def jelly(features=None, **kwargs):
    neuron = pytest.importorskip('spikingjelly.activation_based.neuron')
    return neuron.LIFNode(**{'tau': 2.0, 'step_mode': 'm', **kwargs})


def loss_of(network, x=None):
    return network(inputs() if x is None else x).square().mean()
