"""What a search costs in networks of SpikingJelly and snnTorch, and what the fused neuron saves there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2sg_zoo.adaptation import A2SG, Fixed, Policy, attach
from a2sg_zoo.benchmark.speed import peers
from a2sg_zoo.benchmark.speed.networks import Setting, Step

T = 4
OWN = 'own surrogate'
BETWEEN = 'A2SG, between two searches'
NARROW, WIDE = (32, 32, 64, 64, 64, 64), (64, 64, 128, 128, 256, 256)


class ConvNet(nn.Module):
    """(B, 3, 32, 32) to logits (B, 10): convolutions with batch norm and LIF neurons; pooling after every second one.

    Args:
        widths: channels of the convolutions.
        make: makes a layer of neurons over time, from currents (T, B, ...) to spikes.
    """

    def __init__(self, widths: tuple[int, ...], make: Callable[[], nn.Module]) -> None:
        super().__init__()
        channels = (3, *widths)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b))
            for a, b in zip(channels, channels[1:])
        )
        self.neurons = nn.ModuleList(make() for _ in widths)
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images.repeat(T, 1, 1, 1)
        for i, (convolution, neurons) in enumerate(zip(self.convolutions, self.neurons)):
            x = neurons(convolution(x).unflatten(0, (T, -1))).flatten(0, 1)
            x = F.avg_pool2d(x, 2) if i % 2 else x
        return self.fc(x.mean((-2, -1)).unflatten(0, (T, -1)).mean(0))


class _SpikingJelly(nn.Module):
    def __init__(self):
        super().__init__()
        self.node, self.reset = peers.spikingjelly_lif(), peers.spikingjelly_reset()

    def forward(self, x):
        self.reset(self.node)
        return self.node(x)


def _snntorch() -> nn.Module:
    snntorch, _ = peers.require('snntorch')
    return peers.SnnTorchLayer(snntorch.Leaky(beta=0.5, reset_mechanism='zero'))


LIBRARIES: dict[str, Callable[[], nn.Module]] = {'SpikingJelly': _SpikingJelly, 'snnTorch': _snntorch}


def attached_steps(library: str, widths: tuple[int, ...], setting: Setting) -> dict[str, Step]:
    """Training steps of one network: with the library's own surrogate, and under policies.

    Args:
        library: a name in `LIBRARIES`.
        widths: channels of the convolutions.
        setting: device, autocast and batch size.
    """
    ways: dict[str, tuple[Policy | None, bool]] = {
        OWN: (None, False),
        'A2SG': (A2SG(), False),
        BETWEEN: (A2SG(interval=2**30), False),  # searches in the first step alone, which warms up
    }
    if library == 'SpikingJelly':
        ways |= {'TRI, fused': (Fixed(dict(type='TRI')), True), 'A2SG, fused': (A2SG(), True)}
    return {name: _training_step(library, widths, setting, *way) for name, way in ways.items()}


def _training_step(library: str, widths: tuple[int, ...], setting: Setting, policy: Any, fuse: bool) -> Step:
    torch.manual_seed(0)
    network = ConvNet(widths, LIBRARIES[library]).train().to(setting.device)
    if policy is not None:
        attach(network, policy, fuse=fuse)
    images, labels = setting.images().contiguous(), torch.arange(setting.batch, device=setting.device) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    done = 0

    def step():
        nonlocal done
        if policy is not None:
            policy.begin(done)
        with torch.autocast(setting.device.type, setting.amp, enabled=setting.amp is not None):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += 1

    return step
