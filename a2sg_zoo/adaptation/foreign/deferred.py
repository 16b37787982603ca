"""The deferred surrogate: a search inside the backward pass of neurons that another library defines.

For one layer and time step, a search needs z = u - v_threshold, g = dL/ds[t], the gradient c that reaches u[t] through
time, and d = delta[t+1]. A surrogate function alone sees z and g. But z is a difference, so the autograd node that made
u is one step above it, and everything else that uses u sends its gradient to that node:

- the backward pass of the spike keeps g, and passes on zero;
- a hook on the node of u runs when all users of u are through. What arrives there is exactly c[t], for any dynamics
  (leak, reset, synaptic current, recurrence). The policy chooses beta[t], and the hook passes on
  delta[t] = g f(z; beta[t]) + c[t], which it keeps as d for time step t - 1.

The time steps that belong together form a `Trace`, which is a `Search` of our own neurons with what a foreign neuron
needs besides. It belongs to one forward pass, not to the layer, so the second forward pass of activation checkpointing
does not disturb it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.layer import ForeignLayer, Trace
from a2sg_zoo.adaptation.foreign.sequences import mark
from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.errors import ConfigError


class _Spike(torch.autograd.Function):
    """The spikes of a layer at one time step, with the gradient that its trace decides."""

    @staticmethod
    def forward(ctx, z, fire, trace, t, deferred):
        ctx.save_for_backward(z)
        ctx.trace, ctx.t, ctx.deferred = trace, t, deferred
        return fire()

    @staticmethod
    def backward(ctx, g):
        (z,), layer = ctx.saved_tensors, ctx.trace.layer
        if ctx.deferred is None:
            beta = layer.width_at(ctx.t, ctx.trace.T)
            return g * layer.surrogate(z, beta.to(z.dtype)), None, None, None, None
        if torch.is_grad_enabled():
            raise layer.refusal(
                'the gradient of its gradient is asked for (create_graph=True), which a search does not have; attach '
                'a Fixed policy for that'
            )
        if ctx.deferred.done and ctx.trace.controller.searches:
            raise layer.refusal(
                'a second backward pass goes through one forward pass, and the search has chosen its widths already; '
                'run the forward pass again'
            )
        return ctx.deferred.receive(z, g), None, None, None, None


class _Immediate:
    """Decides the gradient of a spike at once, with c = 0."""

    def __init__(self, trace, t):
        self.trace, self.t, self.done = trace, t, False

    def receive(self, z, g):
        self.done = True
        return self.trace.step_back(self.t, z, g, None)[0].to(z.dtype)


class _Deferred:
    """The hook on the node of u: it receives c from autograd, and z and g from the spike."""

    def __init__(self, trace, t, index):
        self.trace, self.t, self.index, self.gate = trace, t, index, trace.gate
        self.z = self.g = self.zero = None
        self.done = False

    def receive(self, z, g):
        # autograd replaces no gradient that is missing, so one zero stands for all elements
        self.z, self.g, self.zero = z, g, torch.zeros((), dtype=z.dtype, device=z.device)
        return self.zero.expand_as(z)

    def __call__(self, gradients):
        z, g, zero, self.z, self.g, self.zero, self.done = self.z, self.g, self.zero, None, None, None, True
        c = gradients[self.index]
        if zero is not None and c.untyped_storage().data_ptr() == zero.untyped_storage().data_ptr():
            c = None  # nothing else uses u
        if z is None:
            self.trace.pass_over(c)
            return None
        if c is not None and c.shape != z.shape:
            raise self.trace.layer.refusal(
                f'the gradient of its potential has the shape {tuple(c.shape)}, but its spike function sees '
                f'{tuple(z.shape)}'
            )
        with torch.no_grad():
            delta, share = self.trace.step_back(self.t, z, g, c)
            if self.gate is not None:
                self.gate.add(share)
        return (*gradients[: self.index], delta.to(z.dtype), *gradients[self.index + 1 :])


class DeferredSurrogate:
    """Takes the place of the spike function of a neuron of another library.

    A copy or a pickled file of the network holds the neuron's own function again, so it needs nothing of this package.

    Args:
        layer: the layer.
        fire: the neuron's own spike function, which decides what counts as a spike.
    """

    def __init__(self, layer: ForeignLayer, fire: Callable[[Tensor], Tensor]) -> None:
        self.__dict__['layer'], self.__dict__['fire'] = layer, fire

    def __call__(self, z: Tensor, *args: Any) -> Tensor:
        layer = self.layer
        if torch.compiler.is_compiling() and layer.policy.adapts:
            _refuse_to_compile(layer)
        layer.calls += 1
        before = layer.calls <= layer.adapter.calls_before
        layer.fired = layer.fired or not before
        own = before or not (torch.is_grad_enabled() and z.requires_grad)
        return self.fire(z, *args) if own else _fire(layer, z, partial(self.fire, z, *args))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['fire'], name)

    def __reduce_ex__(self, protocol: int) -> tuple:
        return operator.getitem, ((self.__dict__['fire'],), 0)


class DeferredModule(DeferredSurrogate, nn.Module):
    """`DeferredSurrogate` for a spike function that is a module, in a place that takes only modules.

    It has the parameters of that module under the same names, so the state dict of the network stays as it was.
    """

    def __init__(self, layer: ForeignLayer, fire: nn.Module) -> None:
        nn.Module.__init__(self)
        for name, parameter in fire.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, module in fire.named_children():
            self.add_module(name, module)
        DeferredSurrogate.__init__(self, layer, fire)

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            return getattr(self.__dict__.get('fire'), name)


@leave_uncompiled
def _refuse_to_compile(layer):
    raise layer.refusal(
        f'torch.compile would hide the potentials from {type(layer.policy).__name__}; train the network without it, or '
        'attach a Fixed policy',
        ConfigError,
    )


@leave_uncompiled
def _fire(layer, z, fire):
    trace = layer.trace
    if trace is None or trace.ended:  # a method of the module was called, not the module
        if layer.policy.active and layer.module.training and not layer.held:
            raise layer.refusal(
                'its spike function was called, but the neuron itself was not; call the module, neuron(x), and not one '
                'of its methods, such as neuron.forward(x)',
                ConfigError,
            )
        trace = layer.trace = Trace(layer, 0, None)
    if trace.T == 0:
        layer.move_to(z)
    mark(z, layer, trace)
    t, deferred = trace.T, None
    trace.T += 1
    if trace.controller is not None and not layer.adapter.through_time:
        deferred = _Immediate(trace, t)
    elif trace.controller is not None:
        node, index = _node_of_potential(z, layer)
        if node is not None:
            deferred = _Deferred(trace, t, index)
            node.register_prehook(deferred)
    s = _Spike.apply(z, fire, trace, t, deferred)
    if s.shape != z.shape:
        raise layer.refusal(f'its spike function answers {tuple(s.shape)} for {tuple(z.shape)}', ConfigError)
    return s


def _broadcasts(small, large):
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(reversed(small), reversed(large)))


def _node_of_potential(z, layer):
    """(node, index of its output) of u, where z = u - threshold."""
    node = z.grad_fn
    if node is None or node.name() != 'SubBackward0':
        raise layer.refusal(
            f'its spike function is called with the result of {"nothing" if node is None else node.name()}, not with a '
            'difference of potential and threshold, so a search cannot find the potential; attach a Fixed policy, or '
            'write an adapter for it',
            ConfigError,
        )
    (potential, index), *threshold = node.next_functions
    gate = layer.trace.gate
    if gate is None and any(x is not None for x, _ in threshold):
        raise layer.refusal('its threshold is learned, but its adapter gives no threshold with a gradient', ConfigError)
    if gate is not None and not _broadcasts(gate.threshold.shape, z.shape):
        raise layer.refusal(
            f'its adapter gives a threshold of the shape {tuple(gate.threshold.shape)}, and its spike function sees '
            f'{tuple(z.shape)}',
            ConfigError,
        )
    return potential, index
