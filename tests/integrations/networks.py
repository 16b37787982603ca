"""A small network, its data, and the plain training loop that the callbacks must agree with."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.neurons import LIF
from tests.adaptation.foreign.test_attach import Own, jelly

T, BATCH = 4, 8


class Network(nn.Module):
    """(B, 6) to logits (B, 5): our neurons, and one of somebody's own."""

    def __init__(self, make=lambda: LIF(T=T)):
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.n1, self.fc2, self.n2, self.readout = (
            nn.Linear(6, 40), make(), nn.Linear(40, 30), Own(), nn.Linear(30, 5)
        )  # fmt: skip
        with torch.no_grad():
            self.fc1.weight.mul_(6)
            self.fc2.weight.mul_(6)

    def forward(self, x):
        if hasattr(self.n1, 'reset'):
            self.n1.reset()
        self.n2.v = 0.0
        s = self.fc2(self.n1(self.fc1(x).expand(T, *x.shape[:-1], 40)))
        return self.readout(torch.stack([self.n2(x_t) for x_t in s])).mean(0)


MAKE = dict(ours=lambda: LIF(T=T), SpikingJelly=jelly)


def data(n):
    generator = torch.Generator().manual_seed(2)
    return [
        (2 * torch.randn(6, generator=generator), torch.randint(5, (), generator=generator)) for _ in range(n * BATCH)
    ]


def train_plainly(network, batches, accumulate=1, autocast=False, seed=0, policy=None, samples=None):
    """Trains by SGD; (weights, widths). The loss of each batch is divided by the number of batches of its step."""
    policy = policy or A2SG()
    layers = attach(network, policy)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    samples = samples or data(batches)
    for i in range(batches):
        step, micro_batch = divmod(i, accumulate)
        policy.begin(step, micro_batch, seed=seed)
        x, y = (torch.stack(part) for part in zip(*samples[i * BATCH : (i + 1) * BATCH]))
        x = x.to(network.fc1.weight.dtype)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(network(x), y)
        (loss / accumulate).backward()
        if micro_batch == accumulate - 1:
            optimizer.step()
            optimizer.zero_grad()
    return result(network, layers)


def result(network, layers):
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    return weights, {name: layer.beta.clone() for name, layer in layers.items()}


def assert_same(found, expected):
    for part, other in zip(found, expected):
        assert part.keys() == other.keys()
        for name in part:
            torch.testing.assert_close(part[name], other[name], rtol=1e-5, atol=1e-7, msg=name)
    assert all((beta != 1).any() for beta in found[1].values())


def twins(make):
    network = Network(make)
    return network, copy.deepcopy(network)
