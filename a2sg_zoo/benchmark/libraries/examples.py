"""Example networks that SpikingJelly and snnTorch publish, and how they train them.

SpikingJelly's come from the installed package; snnTorch's is the code of its tutorial. The images are scikit-learn's
digits, enlarged to the 28 x 28 pixels of the data sets that the examples name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.benchmark.speed.peers import require


class Example(NamedTuple):
    """A published training.

    Attributes:
        source: where it is published.
        build: makes the network.
        forward: from (network, images) to (what the loss sees, a score for each class).
        loss: from (what the loss sees, labels) to a scalar.
        optimizer: from parameters to the optimiser.
        batch: images in a training step.
    """

    source: str
    build: Callable[[], nn.Module]
    forward: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    batch: int


class TutorialNet(nn.Module):
    """The network of snnTorch's tutorial 5, line by line."""

    def __init__(self) -> None:
        super().__init__()
        snn, _ = require('snntorch')
        num_inputs, num_hidden, num_outputs, beta = 28 * 28, 1000, 10, 0.95
        self.fc1 = nn.Linear(num_inputs, num_hidden)
        self.lif1 = snn.Leaky(beta=beta)
        self.fc2 = nn.Linear(num_hidden, num_outputs)
        self.lif2 = snn.Leaky(beta=beta)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(spikes, potentials) of the output layer over 25 time steps, each (25, B, 10)."""
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(25):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def _tutorial_forward(network, images):
    spikes, potentials = network(images.flatten(1))
    return potentials, spikes.sum(0)


def _tutorial_loss(potentials, labels):
    return sum(F.cross_entropy(potential, labels) for potential in potentials)


def _lif_fc():
    require('spikingjelly')
    from spikingjelly.activation_based.examples.lif_fc_mnist import SNN

    return SNN(tau=2.0)


def _lif_fc_forward(network, images):
    from spikingjelly.activation_based import encoding, functional

    functional.reset_net(network)
    encoder = encoding.PoissonEncoder()
    rate = sum(network(encoder(images)) for _ in range(100)) / 100
    return rate, rate


def _to_one_hot(rate, labels):
    return F.mse_loss(rate, F.one_hot(labels, 10).float())


EXAMPLES: dict[str, Example] = {
    'SpikingJelly, lif_fc_mnist': Example(
        'spikingjelly.activation_based.examples.lif_fc_mnist: T = 100, Adam',
        _lif_fc,
        _lif_fc_forward,
        _to_one_hot,
        lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        64,
    ),
    'snnTorch, tutorial 5': Example(
        'snnTorch, tutorial 5, "Training Spiking Neural Networks with snntorch": T = 25, Adam',
        TutorialNet,
        _tutorial_forward,
        _tutorial_loss,
        lambda parameters: torch.optim.Adam(parameters, lr=5e-4, betas=(0.9, 0.999)),
        128,
    ),
}
