"""The same small network with neurons of different libraries, each as its library would have it written."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation.foreign.layer import ForeignLayer
from a2sg_zoo.neurons.multistep import Spike

T, B = 4, 12


class Layers(nn.Module):
    """(T, B, 6) to (T, B, 5): two layers of neurons behind linear maps; subclasses say how time passes."""

    def __init__(self, make):
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.fc2, self.readout = nn.Linear(6, 40), nn.Linear(40, 30), nn.Linear(30, 5)
        with torch.no_grad():
            self.fc1.weight.mul_(3)
            self.fc2.weight.mul_(6)
        self.n1, self.n2 = make(40), make(30)
        self.double()


class MultiStep(Layers):
    """Neurons that take all time steps at once: ours, SpikingJelly's, and norse's with time."""

    def forward(self, x):
        return self.readout(spikes(self.n2(self.fc2(spikes(self.n1(self.fc1(x)))))))


class Images(Layers):
    """The same with an axis for space, for neurons that have parameters for each channel."""

    def forward(self, x):
        s = self.n1(self.fc1(x)[..., None, None])[..., 0, 0]
        return self.readout(self.n2(self.fc2(s)[..., None, None])[..., 0, 0])


class SingleStep(Layers):
    """SpikingJelly's neurons one time step after another; they keep their states themselves."""

    def forward(self, x):
        return torch.stack([self.readout(self.n2(self.fc2(self.n1(self.fc1(x_t))))) for x_t in x])


class Folded(Layers):
    """BrainCog's neurons layer by layer: time and batch are one axis."""

    def forward(self, x):
        s = self.n2(self.fc2(self.n1(self.fc1(x.flatten(0, 1)))))
        return self.readout(s).unflatten(0, x.shape[:2])


class States(Layers):
    """Neurons that take and return their states: snnTorch's, and norse's without time."""

    def forward(self, x):
        states, outputs = {neuron: self.initial(neuron) for neuron in (self.n1, self.n2)}, []
        for x_t in x:
            s = self.fc2(self.step(self.n1, self.fc1(x_t), states))
            outputs.append(self.readout(self.step(self.n2, s, states)))
        return torch.stack(outputs)

    def initial(self, neuron):
        reset = getattr(neuron, 'reset_mem', tuple)()
        return reset if isinstance(reset, tuple) else (reset,)

    def step(self, neuron, x, states):
        spikes, *states[neuron] = neuron(x, *states[neuron])
        return spikes


class Keywords(States):
    """snnTorch's neurons that are called by keywords alone."""

    def step(self, neuron, x, states):
        spikes, *states[neuron] = neuron(mem=states[neuron][0], input_=x)
        return spikes


class Hidden(Layers):
    """snnTorch's neurons that keep their states themselves."""

    def forward(self, x):
        from snntorch import utils

        utils.reset(self)
        return torch.stack([self.readout(self.n2(self.fc2(self.n1(self.fc1(x_t))))) for x_t in x])


def spikes(out):
    return out[0] if isinstance(out, tuple) else out


def reset(network):
    """Forgets the states of neurons that keep them."""
    for module in network.modules():
        forget = next(
            (getattr(module, name) for name in ('n_reset', 'reset_mem', 'reset') if hasattr(module, name)), None
        )
        if forget is not None:
            forget()


def braincog_nodes():
    """The module of BrainCog's neurons. Only its neurons are imported: the rest needs pygame, dv and others."""
    spec = importlib.util.find_spec('braincog')
    if spec is None:
        pytest.skip('braincog is not installed (pip install --no-deps braincog einops)')
    pytest.importorskip('einops')
    folder = Path(spec.submodule_search_locations[0])
    for name in ('braincog.base', 'braincog.base.strategy', 'braincog.base.node'):
        if name not in sys.modules:
            package = sys.modules[name] = types.ModuleType(name)
            package.__path__ = [str(folder.joinpath(*name.split('.')[1:]))]
    return importlib.import_module('braincog.base.node.node')


def inputs(scale=2.0, seed=3):
    return scale * torch.randn(T, B, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(network, policy=None, iteration=0, x=None, **begin):
    """One training step; {name: gradient}."""
    if any(type(m).__module__.startswith(('spikingjelly', 'braincog', 'snntorch')) for m in network.modules()):
        reset(network)
    if policy is not None:
        policy.begin(iteration, **begin)
    # norse keeps learned constants where `named_parameters` does not see them
    hidden = {
        f'{name}.v_th': m.p.v_th for name, m in network.named_modules() if isinstance(getattr(m, 'p', None), tuple)
    }
    parameters = {**dict(network.named_parameters()), **{name: p for name, p in hidden.items() if p.requires_grad}}
    for p in parameters.values():
        p.grad = None
    network(inputs() if x is None else x).square().mean().backward()
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


class Given:
    """A spike function in plain autograd, under given widths."""

    def __init__(self, fire, surrogate, beta, calls_before):
        self.fire, self.surrogate, self.beta = fire, surrogate, beta
        self.t, self.calls, self.calls_before = 0, 0, calls_before

    def __call__(self, z, *args):
        self.calls += 1
        if (self.calls - 1) % (1 + self.calls_before) < self.calls_before:
            return self.fire(z, *args)
        s = Spike.apply(z, self.surrogate, self.beta[self.t % len(self.beta)])
        self.t += 1
        assert torch.equal(s.detach(), self.fire(z.detach(), *args))
        return s

    def __getattr__(self, name):
        return getattr(self.fire, name)


def reference_gradients(network, layers, x=None):
    """Gradients by plain autograd with the widths in force; the network must be detached."""
    for layer in layers.values():
        assert isinstance(layer, ForeignLayer)
        layer.adapter.install(layer.module, lambda fire, layer=layer: as_module(fire, layer))
    return step(network, x=x)


def as_module(fire, layer):
    given = Given(fire, layer.surrogate, layer.beta, layer.adapter.calls_before)
    if not isinstance(fire, nn.Module):
        return given
    module = nn.Identity()
    module.forward = given
    module.spiking = True
    return module
