"""Contexts in which the neurons of a network compute otherwise, stand still, or are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from a2sg_zoo.neurons.neuron import Neuron, named_neurons


@contextmanager
def use_backend(model: nn.Module, backend: Callable[[Neuron, Tensor], Tensor]) -> Iterator[None]:
    """Within it, the neurons of `model` compute by another backend.

    Args:
        model: a network.
        backend: `compute_fused`, `compute_reference`, or another function from (neuron, x) to spikes.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF, compute_reference
    >>> neuron, x = LIF(), torch.rand(4, 2, 3)
    >>> with use_backend(neuron, compute_reference):
    ...     spikes = neuron(x)
    >>> torch.equal(spikes, neuron(x))
    True
    """
    with _attribute_set(model, 'backend', backend):
        yield


@contextmanager
def hold_widths(model: nn.Module) -> Iterator[None]:
    """Within it, widths stand still and no policy is asked or told anything, for a pass that is not a training step."""
    with _attribute_set(model, 'held', True):
        yield


@contextmanager
def recorded_potentials(model: nn.Module) -> Iterator[list[tuple[Neuron, Tensor]]]:
    """A list that fills with (neuron, u) as a forward pass goes through the neurons of `model`; u: (T, B, ...).

    A pass makes one entry for each call of a layer, also with feedback (`Recurrent`) or in chunks of time steps. u is
    part of the graph: a loss on it reaches the layer's input and everything below.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF
    >>> neuron = LIF()
    >>> with recorded_potentials(neuron) as potentials:
    ...     spikes = neuron(torch.rand(4, 2, 3))
    >>> [u.shape for _, u in potentials]
    [torch.Size([4, 2, 3])]
    """
    potentials: list[tuple[Neuron, Tensor]] = []
    with _attribute_set(model, 'potentials', potentials):
        yield potentials


@contextmanager
def recorded_gradients(model: nn.Module, record: Callable[[str, Tensor, Tensor], None]) -> Iterator[None]:
    """Within it, forward passes have `record` called in the backward pass of every neuron.

    Args:
        model: a network.
        record: called as `record(name, u, delta)`, with the neuron's qualified name, u and delta = dL/du, each (T, N).
    """
    neurons = named_neurons(model)
    before = {neuron: neuron.watcher for neuron in neurons.values()}
    for name, neuron in neurons.items():
        neuron.watcher = partial(record, name)
    try:
        yield
    finally:
        for neuron, watcher in before.items():
            neuron.watcher = watcher


@contextmanager
def _attribute_set(model, name, value):
    before = {neuron: getattr(neuron, name) for neuron in named_neurons(model).values()}
    for neuron in before:
        setattr(neuron, name, value)
    try:
        yield
    finally:
        for neuron, old in before.items():
            setattr(neuron, name, old)
