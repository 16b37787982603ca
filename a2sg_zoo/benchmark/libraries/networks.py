"""One small convolutional network with the neurons of four libraries: the same weights and the same equations.

    u[t] = u after reset + (x[t] - u after reset) / 2,    s[t] = [u[t] >= 1],    u = 0 after a spike

The reset counts as a constant in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.adaptation import Layers, Policy, attach
from a2sg_zoo.benchmark.speed.peers import require
from a2sg_zoo.neurons import LIF

T = 4


class DigitsNetwork(nn.Module):
    """(B, 1, 8, 8) to logits (B, 10): two convolutions with neurons, a linear layer over all channels.

    Args:
        make: makes a layer of neurons over time, from currents (T, B, ...) to spikes.
        seed: of the weights.
    """

    def __init__(self, make: Callable[[], nn.Module], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64 * 2 * 2, 10)
        self.neurons1, self.neurons2 = make(), make()
        with torch.no_grad():  # torch's initial weights are so small that few neurons fire
            self.conv1.weight.mul_(4)
            self.conv2.weight.mul_(4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images)
        s = self.neurons1(x.expand(T, *x.shape))
        x = self.conv2(F.avg_pool2d(s.flatten(0, 1), 2))
        s = self.neurons2(x.unflatten(0, (T, -1)))
        return self.fc(F.avg_pool2d(s.mean(0), 2).flatten(1))


class SpikingJellyNeurons(nn.Module):
    """SpikingJelly's LIF node over time."""

    def __init__(self) -> None:
        super().__init__()
        require('spikingjelly')
        from spikingjelly.activation_based import neuron

        self.node = neuron.LIFNode(tau=2.0, detach_reset=True, step_mode='m')

    def forward(self, x: Tensor) -> Tensor:
        self.node.reset()
        return self.node(x)


class SnnTorchNeurons(nn.Module):
    """snnTorch's Leaky, step by step. It sums its input, so half of the current goes in."""

    def __init__(self) -> None:
        super().__init__()
        snntorch, _ = require('snntorch')
        # its own spike functions answer in float32 always
        self.leaky = snntorch.Leaky(beta=0.5, spike_grad=_fires, reset_mechanism='zero')

    def forward(self, x: Tensor) -> Tensor:
        membrane, spikes = self.leaky.init_leaky(), []
        for x_t in x:
            s, membrane = self.leaky(0.5 * x_t, membrane)
            spikes.append(s)
        return torch.stack(spikes)


class NorseNeurons(nn.Module):
    """norse's LIF cell without synaptic current, step by step. Its time constant is 10 ms, so a step takes 5 ms."""

    def __init__(self) -> None:
        super().__init__()
        require('norse')
        import norse.torch as norse

        self.cell = norse.LIFBoxCell(norse.LIFBoxParameters(reset_method=_reset), dt=0.005)

    def forward(self, x: Tensor) -> Tensor:
        state, spikes = None, []
        for x_t in x:
            s, state = self.cell(x_t, state)
            spikes.append(s)
        return torch.stack(spikes)


LIBRARIES: dict[str, Callable[[], nn.Module]] = {
    'a2sg_zoo': lambda: LIF(tau=2.0, T=T),
    'SpikingJelly': SpikingJellyNeurons,
    'SpikingJelly, fused': SpikingJellyNeurons,
    'snnTorch': SnnTorchNeurons,
    'norse': NorseNeurons,
}


def build(library: str, policy: Policy, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Layers]:
    """The network with the neurons of a library, under a policy.

    Args:
        library: a name in `LIBRARIES`.
        policy: the policy.
        seed: of the weights.
        dtype: of the weights.

    Returns:
        (network, layers), see `attach`.
    """
    network = DigitsNetwork(LIBRARIES[library], seed).to(dtype)
    return network, attach(network, policy, fuse=library.endswith('fused'))


def _fires(z):
    return (z >= 0).to(z.dtype)


def _reset(z, v, v_reset, v_th):
    return (1 - z.detach()) * v
