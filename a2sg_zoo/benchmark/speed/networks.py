"""The networks and training steps of the speed measurements."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import LIF, Neuron
from a2sg_zoo.registry import MODELS

_LIF = dict(type='LIF', tau=2.0, decay_input=False)
# those of configs/_base_/models; the package works without the configs beside it
RESNET19: dict[str, Any] = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikingResNet', depths=(3, 3, 2), widths=(128, 256, 512), tdbn=True, T=4, neuron=_LIF, time='keep'
    ),
    head=dict(type='LinearHead', in_channels=512, hidden=256, num_classes=10, neuron=_LIF),
)
SPIKFORMER = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikformer',
        form='cifar',
        embed_dims=384,
        depth=4,
        num_heads=12,
        T=4,
        neuron=dict(type='LIF', tau=2.0),
        time='keep',
    ),
    head=dict(type='LinearHead', in_channels=384, num_classes=10),
)
NETWORKS = {'ResNet-19': RESNET19, 'Spikformer-4-384': SPIKFORMER}

Step = Callable[[], None]
"""A training step: forward pass, loss, backward pass, SGD."""


class Setting(NamedTuple):
    """Where and how speed is measured.

    Attributes:
        device: device of all tensors.
        amp: dtype of autocast, or None.
        batch: images in a training step.
        rounds: repetitions of each measurement.
        threads: CPU threads.
        with_peers: whether to compare with other libraries.
    """

    device: torch.device
    amp: torch.dtype | None
    batch: int
    rounds: int
    threads: int
    with_peers: bool

    def images(self, batch: int | None = None) -> Tensor:
        """Return random images (batch, 3, 32, 32) in the memory format channels_last."""
        return torch.randn(batch or self.batch, 3, 32, 32, device=self.device).to(memory_format=torch.channels_last)


def lif(setting: Setting) -> LIF:
    """Return a layer of LIF neurons that sums its input, as in `RESNET19`."""
    return LIF(tau=2.0, decay_input=False).to(setting.device)


def build(config: dict[str, Any], setting: Setting) -> SpikingClassifier:
    """Build a network in training mode, with the same weights at each call."""
    torch.manual_seed(0)
    network = MODELS.build(copy.deepcopy(config)).train().to(setting.device)
    # torch's initial weights of the linear layers are so small that no neuron after them fires
    for module in network.head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.2)
    return network.to(memory_format=torch.channels_last)


def with_relu(network: nn.Module) -> nn.Module:
    """Return the network with ReLU in place of every neuron, in place: the least that it can cost."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Neuron):
                setattr(module, name, nn.ReLU())
    return network


def training_step(
    network: nn.Module, setting: Setting, policy: Any = None, images: Tensor | None = None, batch: int | None = None
) -> Step:
    """Return a function that trains a network for one step.

    Args:
        network: a classifier with logits (T, B, 10).
        setting: device, autocast and batch size.
        policy: adaptation policy that is attached to the network.
        images: images (B, 3, H, W) to train on, random ones by default.
        batch: number of random images, by default that of `setting`.
    """
    images = setting.images(batch) if images is None else images
    labels = torch.randint(10, images.shape[:1], device=setting.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    done = 0

    def step():
        nonlocal done
        if policy is not None:
            policy.begin(done)
        with torch.autocast(setting.device.type, setting.amp, enabled=setting.amp is not None):
            loss = F.cross_entropy(network(images).mean(0), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += 1

    return step


def search_steps(network: nn.Module, setting: Setting) -> dict[str, Step]:
    """Return training steps of copies of a network: with a fixed width, and under A2SG with each of two searches."""
    policies = {
        'fixed': Fixed(dict(type='ASY')),
        'exact search': A2SG(searcher=dict(type='ExactSearcher')),
        'TPE of 16 trials': A2SG(searcher=dict(type='TPESearcher', trials=16)),
    }
    steps = {}
    for name, policy in policies.items():
        twin = copy.deepcopy(network)
        attach(twin, policy)
        steps[name] = training_step(twin, setting, policy)
    return steps
