"""The same neurons and networks in other libraries, SpikingJelly and snnTorch, to compare with (the extra `peers`)."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier


def require(package: str) -> tuple[ModuleType, str]:
    """Import a package of another library.

    Returns:
        The module and its version.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(package), version(package)
    except ImportError as error:
        raise ConfigError(
            f'{package} is needed to compare with it: pip install "a2sg-zoo[peers]", or pass --no-peers'
        ) from error


def spikingjelly_lif(beta: float = 1.0) -> nn.Module:
    """Return SpikingJelly's `LIFNode` over (T, B, ...), which computes what `LIF(decay_input=False,
    surrogate=TRI(beta))` computes.

    SpikingJelly chooses the best implementation for a device and type. `spikingjelly_reset` must reset its state before
    each batch.

    Args:
        beta: width of the surrogate's window.
    """
    require('spikingjelly')
    from spikingjelly.activation_based import neuron, surrogate

    # its slope is 1 / beta^2 on both sides of the threshold, as that of TRI with area 1
    return neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        detach_reset=True,
        step_mode='m',
        surrogate_function=surrogate.PiecewiseQuadratic(alpha=1 / beta),
    )


def spikingjelly_environment(backend: str) -> dict[str, str]:
    """Return the environment variables with which a new process uses one of SpikingJelly's back ends on CUDA devices.

    Without them, SpikingJelly 2 takes the first of its back ends that works.

    Args:
        backend: 'torch', 'cuda' (its compiled kernels), 'triton', or 'cupy', which version 2 no longer has.

    Raises:
        ConfigError: SpikingJelly is not installed, or this version has no such back end.
    """
    _, number = require('spikingjelly')
    if backend not in ('torch', 'cuda', 'triton'):
        raise ConfigError(f'SpikingJelly {number} has no back end {backend}; it has torch, cuda and triton')
    return dict(SJ_LIF_CUDA_IMPLEMENTATION=backend)


def spikingjelly_reset() -> Callable[[nn.Module], None]:
    """Return SpikingJelly's function that resets the state of a network."""
    require('spikingjelly')
    from spikingjelly.activation_based import functional

    return functional.reset_net


def snntorch_lif() -> nn.Module:
    """Return snnTorch's `Leaky`, stepped over (T, B, ...), with a membrane decay of 1/2, summed input and hard reset.

    Its reset acts on the membrane potential within the step, as ours does. Its triangular surrogate differs from ours.
    """
    snntorch, _ = require('snntorch')
    from snntorch import surrogate

    return SnnTorchLayer(
        snntorch.Leaky(beta=0.5, spike_grad=surrogate.triangular(), reset_mechanism='zero', reset_delay=False)
    )


class SnnTorchLayer(nn.Module):
    """snnTorch's `Leaky`, stepped over (T, B, ...).

    Args:
        leaky: the neuron.
    """

    def __init__(self, leaky: nn.Module) -> None:
        super().__init__()
        self.leaky: Any = leaky

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes of currents, both (T, B, ...)."""
        membrane, spikes = self.leaky.init_leaky(), []
        for x_t in x:
            spike, membrane = self.leaky(x_t, membrane)
            spikes.append(spike)
        return torch.stack(spikes)


class SpikingJellyResNet(nn.Module):
    """A `SpikingClassifier` with a `SpikingResNet`, in SpikingJelly's layers: the same weights and the same function.

    As in ours, the stem runs once, and a view repeats its output for each time step.

    Args:
        ours: the classifier. Its convolutions, norms and linear layers are used themselves, not copied.
    """

    def __init__(self, ours: SpikingClassifier) -> None:
        super().__init__()
        require('spikingjelly')
        from spikingjelly.activation_based import layer

        backbone, self.T = ours.backbone, ours.backbone.T
        self.stem, self.stem_neuron = nn.Sequential(*backbone.stem), spikingjelly_lif()
        self.blocks = nn.Sequential(
            *(_Block(block, layer.SeqToANNContainer) for stage in backbone.stages for block in stage)
        )
        linear = [module for module in ours.head.modules() if isinstance(module, nn.Linear)]
        self.head = nn.Sequential(linear[0])
        for module in linear[1:]:
            self.head.extend([spikingjelly_lif(), module])

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (T, B, classes) of images (B, C, H, W)."""
        spikingjelly_reset()(self)
        x = self.stem(images)
        x = self.blocks(self.stem_neuron(x.unsqueeze(0).expand(self.T, *x.shape)))
        return self.head(x.mean((-2, -1)))


class _Block(nn.Module):
    def __init__(self, block: Any, over_time: type[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.neuron1 = over_time(*block.conv1), spikingjelly_lif()
        self.conv2, self.neuron2 = over_time(*block.conv2), spikingjelly_lif()
        self.shortcut = nn.Identity() if isinstance(block.shortcut, nn.Identity) else over_time(*block.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron2(self.conv2(self.neuron1(self.conv1(x))) + self.shortcut(x))
