"""Statistics of potentials and local gradients of every layer, while a network trains.

For each layer and time step, over all elements of a batch, with u the membrane potential and delta[t] = dL/du[t]:

    SGV, TGC, CV    see `a2sg_zoo.adaptation.observables`
    inside          share of elements inside the window of the surrogate, |u - v_threshold| <= beta
    rate            share of elements that fire
    u_mean, u_std   mean and standard deviation of u
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign import ForeignLayer
from a2sg_zoo.adaptation.foreign.sequences import has_no_gradient, requires_grad
from a2sg_zoo.adaptation.foreign.tap import around
from a2sg_zoo.adaptation.hooks import InertHook
from a2sg_zoo.adaptation.layers import find_layers
from a2sg_zoo.adaptation.observables import layer_statistics
from a2sg_zoo.adaptation.records import charts, means, plain
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.compat import backward_in_progress, queue_after_backward
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import check_output, write_output
from a2sg_zoo.neurons import Neuron
from a2sg_zoo.neurons.controllers import Watched
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.utils.packages import require

_watched: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def monitor(network: nn.Module, every: int = 1) -> Monitor:
    """Takes statistics of every layer in some of the training steps that follow.

    It works on a network that is attached to a policy, and on one that is not. Spikes, gradients and widths stay as
    they are. Between the steps that it looks at, it does nothing.

    Args:
        network: a network with neurons of this package, of SpikingJelly, snnTorch, norse or BrainCog, or neurons that
            have an adapter.
        every: look at every such step, beginning with the first. A forward pass in training mode counts as a step,
            unless `Monitor.begin` is called.

    Returns:
        a `Monitor`; also a context manager, at the end of which nothing of it is left in the network.

    Raises:
        ConfigError: the network has no spiking neurons with a surrogate, or is monitored already.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 20), LIF(T=4), torch.nn.Linear(20, 2))
    >>> with monitor(network) as watch:
    ...     network(torch.randn(4, 8, 3)).square().mean().backward()
    >>> sorted(watch.records[0]['layers']['1'])
    ['beta', 'cv', 'inside', 'rate', 'sgv', 'tgc', 'u_mean', 'u_std']
    """
    return Monitor(network, every)


class Monitor:
    """What `monitor` returns; see there.

    Its text is the table of the latest step that was looked at.
    """

    def __init__(self, network: nn.Module, every: int = 1) -> None:
        self.every = integer('every', every, 'monitor')
        self._network = network
        self._layers = {name: _watch_of(layer) for name, layer in find_layers(network).items()}
        modules = [watch.module for watch in self._layers.values()]
        if any(module in _watched for module in modules):
            raise ConfigError(f'{type(network).__name__} has a monitor already; close that one first')
        _watched.update(modules)
        self._modules = modules
        self._records: list[dict[str, Any]] = []
        self._charted = 0
        self._iteration, self._begun, self._scale = -1, False, 1.0
        self._stack = ExitStack()
        self._handles = [network.register_forward_pre_hook(InertHook(self._before_network))]
        foreign = [watch for watch in self._layers.values() if isinstance(watch, _ForeignWatch)]
        # what tells a call of the network that continues the time steps of the one before it
        self._foreign_only = len(foreign) == len(modules)
        self._pending = False
        for watch in foreign:
            hook = InertHook(partial(self._before_layer, watch))
            self._handles.append(watch.module.register_forward_pre_hook(hook, with_kwargs=True))

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        return self.table()

    def close(self) -> None:
        """Takes everything out of the network again. The records stay."""
        self._stack.close()
        self._flush()
        for handle in self._handles:
            handle.remove()
        _watched.difference_update(self._modules)

    def begin(self, iteration: int, scale: float = 1.0) -> None:
        """Starts a training step; to be called before its forward passes.

        Args:
            iteration: number of optimiser steps done so far.
            scale: the factor of the loss: of a gradient scaler, or 1 / n with accumulation over n batches. SGV is
                divided by it.
        """
        self._begun = True
        self._start(iteration, scale)

    @property
    def records(self) -> list[dict[str, Any]]:
        """dict(iter, layers={name: statistics}) of each step that was looked at; iter counts from 1.

        A statistic is a number or has one for each time step. It is None where it has no value: SGV, TGC and CV where
        no gradient arrived, `beta` and `inside` where the window is not known.
        """
        if any(watch.found for watch in self._layers.values()):
            self._flush()
        return self._records

    def table(self, index: int = -1) -> str:
        """A Markdown table of one record, with means over the time steps.

        Args:
            index: which record.

        Raises:
            ConfigError: there is none.
        """
        if not self.records:
            raise ConfigError('the monitor has seen no training step: run a forward and a backward pass first')
        layers = self.records[index]['layers']
        keys = dict(SGV='sgv', TGC='tgc', CV='cv', inside='inside', rate='rate')
        return table(
            [
                {'layer': name or '(the network)', **{head: means(layer).get(key) for head, key in keys.items()}}
                for name, layer in layers.items()
            ]
        ).rstrip('\n')

    def to_json(self, path: str | Path) -> Path:
        """Writes all records to a JSON file, whole or not at all; null stands for what has no value.

        Raises:
            ConfigError: the file cannot be written, or another tool wrote it.
        """
        check_output(path, 'monitor')
        return write_output({'records': self.records}, path, 'monitor')

    def to_tensorboard(self, where: Any, detail: str = 'layers') -> None:
        """Writes the records since the last call to TensorBoard.

        Args:
            where: a folder, or a `SummaryWriter`.
            detail: 'network' for means over all layers, 'layers' for one chart a statistic and layer too, 'steps' for
                one a time step of these too.

        Raises:
            MissingPackageError: tensorboard is not installed.
        """
        if not hasattr(where, 'add_scalar'):
            require('TensorBoard', 'tensorboard')
            from torch.utils.tensorboard import SummaryWriter  # it takes a second to import

            with SummaryWriter(str(where)) as writer:
                return self.to_tensorboard(writer, detail)
        for record in self.records[self._charted :]:
            for tag, value in charts(record, detail).items():
                where.add_scalar(tag, value, record['iter'])
        self._charted = len(self._records)
        return None

    # steps

    def _before_network(self, network, args):
        if network.training and torch.is_grad_enabled() and backward_in_progress() < 0:
            self._pending = True
            if not self._foreign_only:
                self._begin_pass()

    def _before_layer(self, watch, module, args, kwargs):
        state = watch.layer.adapter.state(module, args, kwargs)
        continues = None if state is None else requires_grad(*state)
        # a loop over time outside of the network calls it once a time step
        if continues or not has_no_gradient(module, state, args, kwargs):
            if self._pending and not continues:
                self._begin_pass()
            self._pending = False
        watch.before(continues)

    def _begin_pass(self):
        self._pending = False
        if not self._begun:
            self._start(self._iteration + 1, 1.0)
        for watch in self._layers.values():
            watch.forward_pass += 1

    def _start(self, iteration, scale):
        self._stack.close()
        self._flush()
        self._iteration, self._scale = iteration, scale
        if iteration % self.every == 0:
            # the network may have been attached to a policy, or detached, since the last step
            for name, layer in find_layers(self._network).items():
                self._stack.callback(self._layers[name].install(layer, self._stack.close))

    def _flush(self):
        """Turns what the latest step gave into plain numbers."""
        found = {name: watch.collect() for name, watch in self._layers.items()}
        if not any(found.values()):
            return
        record = dict(iter=self._iteration + 1, layers=plain({k: v for k, v in found.items() if v}, self._scale))
        self._records.append(record)


def _watch_of(layer):
    return _ForeignWatch(layer) if isinstance(layer, ForeignLayer) else _OwnWatch(layer)


def _statistics(u, delta, v_threshold, widths):
    """The record of a layer: tensors, without waiting for the device."""
    inside = None if widths is None else ((u - v_threshold).abs() <= widths[:, None]).to(delta.dtype).mean(1)
    found = layer_statistics(u, delta, v_threshold, widths)
    return found if inside is None else dict(found, inside=inside)


class _OwnWatch:
    """Looks at one of our neurons."""

    def __init__(self, neuron: Neuron) -> None:
        self.module = neuron
        self.forward_pass = 0
        self.found: dict[str, Tensor] | None = None

    def install(self, neuron, done):
        before = self.module.watcher
        self.module.watcher = partial(self._record, before, done)

        def remove():
            self.module.watcher = before

        return remove

    def _record(self, before, done, u, delta):
        if before is not None:
            before(u, delta)
        self.found = _statistics(u, delta, self.module.v_threshold, self.module.beta.to(u.device))
        if backward_in_progress() >= 0:
            queue_after_backward(done)

    def collect(self):
        found, self.found = self.found, None
        return found


class _Sequence:
    """The time steps of a layer that belong together."""

    def __init__(self, forward_pass):
        self.forward_pass, self.backward_pass = forward_pass, backward_in_progress()
        self.z: list[Tensor] = []
        self.delta: dict[int, Tensor] = {}


class _ForeignWatch:
    """Looks at a neuron of another library: keeps z where its spike function is called, and dL/du where it arrives."""

    def __init__(self, layer: ForeignLayer) -> None:
        self.layer, self.module = layer, layer.module
        self.forward_pass = self._calls = 0
        self._sequence: _Sequence | None = None
        self.found: dict[str, Tensor] | None = None
        self._done = self._width = None

    def install(self, layer, done):
        self.layer, self._done, self._sequence = layer, done, None
        if layer.fused:
            return self._install_fused(layer.module.multi_step_forward)
        self._width = layer.adapter.declared(self.module).width
        return layer.adapter.install(self.module, partial(around, self._fire))

    def _install_fused(self, steps):
        before = steps.controller
        steps.controller = lambda x: Watched(before(x), self._record)

        def remove():
            steps.controller = before

        return remove

    def _record(self, u, delta):
        threshold = self.layer.v_threshold
        self.found = _statistics(u, delta, threshold, self._widths(u))
        if backward_in_progress() >= 0:
            queue_after_backward(self._done)

    def before(self, continues):
        """Notes that a call of the neuron begins."""
        self._calls = 0
        now, sequence = backward_in_progress(), self._sequence
        if torch.is_grad_enabled() and (
            sequence is None
            or sequence.backward_pass != now
            or not (sequence.forward_pass == self.forward_pass if continues is None else continues)
        ):
            self._sequence = _Sequence(self.forward_pass)

    def _fire(self, function, z, *args):
        self._calls += 1
        s = function(z, *args)
        if self._calls > self.layer.adapter.calls_before and torch.is_grad_enabled() and z.requires_grad:
            sequence = self._sequence
            t = len(sequence.z)
            sequence.z.append(z.detach())
            node = z.grad_fn
            if node is not None and node.name() == 'SubBackward0' and node.next_functions[0][0] is not None:
                # after the hook of an attached layer, so that it sees what that one makes of the gradient
                potential, index = node.next_functions[0]
                potential.register_prehook(lambda gradients: self._receive(sequence, t, gradients[index]))
            else:
                z.register_hook(lambda gradient: self._receive(sequence, t, gradient))
        return s

    def _receive(self, sequence, t, delta):
        if not sequence.delta:
            queue_after_backward(lambda: self._end(sequence))
        if delta is not None and delta.shape == sequence.z[t].shape:
            sequence.delta[t] = delta.detach()

    def _end(self, sequence):
        self._done()
        if sequence.z:
            self.found = self._statistics(sequence)
            sequence.z = []

    def _statistics(self, sequence):
        z = torch.stack([z.flatten() for z in sequence.z])
        zero = torch.zeros_like(z[0])
        delta = torch.stack([sequence.delta[t].flatten() if t in sequence.delta else zero for t in range(len(z))])
        sequence.delta = {}
        return _statistics(z + self.layer.v_threshold, delta, self.layer.v_threshold, self._widths(z))

    def _widths(self, z):
        if self.layer.policy is not None:
            widths = self.layer.beta
            return (widths if widths.numel() in (1, len(z)) else widths[-1:]).to(z)
        return None if self._width is None else z.new_full((1,), self._width)

    def collect(self):
        sequence, self._sequence = self._sequence, None
        if self.found is None and sequence is not None and sequence.z:
            self.found = self._statistics(sequence)
        found, self.found = self.found, None
        return found
