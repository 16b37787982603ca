"""Putting a network under a policy: networks of ours, of other libraries, and mixed ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from a2sg_zoo.adaptation.base import Policy
from a2sg_zoo.adaptation.foreign import ForeignLayer
from a2sg_zoo.adaptation.foreign.deferred import DeferredModule, DeferredSurrogate
from a2sg_zoo.adaptation.foreign.gate import Gate
from a2sg_zoo.adaptation.foreign.layer import Trace
from a2sg_zoo.adaptation.foreign.sequences import find, has_no_gradient, requires_grad
from a2sg_zoo.adaptation.hooks import InertHook
from a2sg_zoo.adaptation.layers import Layers, attachments, find_layers, find_unknown
from a2sg_zoo.compat import backward_in_progress
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import FixedWidths, Neuron, hold_widths, set_time_steps

_SHOWN = 8


def attach(network: nn.Module, policy: Policy, T: int | None = None, fuse: bool = False) -> Layers:
    """Puts all spiking neurons of a network under a policy: its surrogate, its initial widths, its search.

    Load a checkpoint that has widths after this call, because it sets them to those that the policy starts from.

    Afterwards, train as before. A forward pass in training mode begins a step of the policy by itself. Where parts of
    the network are called and not the network itself, a step begins when a neuron is called again. Call
    `policy.begin(iteration, ...)` before each forward pass to have resumed runs repeat their random numbers, to
    accumulate gradients over several forward passes, or to take statistics.

    Neurons of SpikingJelly, snnTorch and norse are known; see `adapter` for neurons of other libraries and your own. A
    warning names the spiking neurons of these libraries that have no adapter and are left as they are.

    Args:
        network: a network with neurons of this package or of another library.
        policy: the policy. It works on one network at a time: if it adapts widths, training an earlier one is refused.
        T: number of time steps, for neurons of this package that do not know it. Neurons with parameters for each time
            step, such as `PSN` and `GLIF`, get them here, so build the optimizer afterwards.
        fuse: whether our fused neuron computes the neurons of other libraries that it can: SpikingJelly's multi-step
            IF, LIF and PLIF. Spikes and gradients stay the same, up to rounding. A warning names the neurons that are
            left as they are, and why.

    Returns:
        {qualified name: layer}.

    Raises:
        ConfigError: an argument is no network or no policy; the network has no spiking neurons, is under another policy
            already, or has a neuron that the policy cannot work on; or `fuse` is asked for, and no neuron of another
            library can be fused. The message names the layers.

    >>> import torch
    >>> from a2sg_zoo.adaptation import A2SG, attach, detach
    >>> from a2sg_zoo.neurons import LIF
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 20), LIF(T=4), torch.nn.Linear(20, 2))
    >>> layers = attach(network, A2SG(beta_min=0.2))
    >>> network(torch.randn(4, 8, 3)).square().mean().backward()  # searches in here
    >>> layers['1'].beta.shape  # one width a time step
    torch.Size([4])
    >>> detach(network)
    """
    if network in attachments:
        if attachments[network].policy is policy:
            return attachments[network].layers
        raise ConfigError(
            f'{type(network).__name__} is under {attachments[network].policy!r} already; call detach(network) first'
        )
    attachment = Attachment(network, policy, T, fuse)
    attachments[network] = attachment
    return attachment.layers


def detach(network: nn.Module) -> None:
    """Takes a network from its policy: its neurons have their own surrogates and widths again.

    Raises:
        ConfigError: the network is under no policy.
    """
    if network not in attachments:
        raise ConfigError(f'{type(network).__name__} is under no policy')
    attachments.pop(network).undo()


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Within it, forward passes are no training steps: no policy is asked or told anything, and nothing is counted.

    Every layer has its surrogate and the widths in force.

    Args:
        network: a network, attached or not, or a part of one.
    """
    modules = set(network.modules())
    layers = [layer for attachment in attachments.values() for layer in attachment.layers.values()]
    foreign = [layer for layer in layers if isinstance(layer, ForeignLayer) and layer.module in modules]
    before = [(layer, (layer.trace, layer.calls, layer.called, layer.fired)) for layer in foreign]
    for layer in foreign:
        layer.held, layer.trace = True, None
    try:
        with hold_widths(network):
            yield
    finally:
        for layer, state in before:
            layer.held = False
            layer.trace, layer.calls, layer.called, layer.fired = state


class Attachment:
    """A network under a policy: its layers, and the way back.

    Args:
        network, policy, T, fuse: see `attach`.
    """

    def __init__(self, network: nn.Module, policy: Policy, T: int | None, fuse: bool = False) -> None:
        for name, value, kind in (('network', network, nn.Module), ('policy', policy, Policy)):
            if not isinstance(value, kind):
                raise ConfigError(f'attach: {name} must be an object of {kind.__name__}, got {value!r:.200}')
        self.policy, self.layers = policy, Layers(find_layers(network, policy))
        self._undo: list[Callable[[], object]] = []
        self._left: list[str] = []
        self._own = {layer for layer in self.layers.values() if isinstance(layer, Neuron)}
        self._forward_pass, self._pending = 0, False
        # whether the network itself is called, and whether it is called in training
        self._within_network = self._within_step = False
        # our neurons that begin a pass when they are called outside of the network's own forward pass
        self._called = set(self._own)
        if T is not None:
            set_time_steps(network, T)
        policy.enlist(self.layers)
        self._enlisted = policy.layers
        try:
            for order, layer in enumerate(self.layers.values()):
                self._take(layer, order, fuse)
            if self._left:
                self._report_left()
            self._report_parallel()
            self._report_unknown(network)
        except BaseException:
            self.undo()
            raise
        self._undo.append(network.register_forward_pre_hook(InertHook(self._before_network)).remove)
        self._undo.append(network.register_forward_hook(InertHook(self._after_network), always_call=True).remove)

    def _take(self, layer, order, fuse):
        if isinstance(layer, Neuron):
            surrogate, widths = layer.surrogate, layer.beta.clone()
            self._undo.append(lambda: _restore(layer, surrogate, widths))
            layer.on_call = self._before_neuron
        else:
            if fuse:
                self._fuse(layer)
            self._undo.append(layer.adapter.install(layer.module, lambda fire: _deferred(layer, fire)))
            hook = InertHook(partial(self._before_layer, layer))
            self._undo.append(layer.module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        layer.policy, layer.order = self.policy, order
        self.policy.adopt(layer)

    def _fuse(self, layer):
        done = layer.adapter.fuse(layer.module, partial(_controller_of_fused, layer))
        layer.fused = not isinstance(done, str)
        if layer.fused:
            self._undo.append(done)
        else:
            self._left.append(f'{layer.name} ({type(layer.module).__name__}): {done}')

    def _report_left(self):
        """Says which neurons our fused neuron does not compute."""
        foreign = sum(isinstance(layer, ForeignLayer) for layer in self.layers.values())
        shown = _some(self._left, '; ')
        if len(self._left) == foreign:
            raise ConfigError(f'fuse=True, but our fused neuron can compute none of the neurons: {shown}')
        print_log(
            f'{foreign - len(self._left)} of {foreign} layers are computed by our fused neuron. The others are left as '
            f'they are: {shown}',
            'current',
            logging.WARNING,
        )

    def _report_parallel(self):
        """Says which of our neurons are searched without a gradient through time."""
        names = [
            name or 'the network itself'
            for name, layer in self.layers.items()
            if not getattr(layer, 'through_time', True)
        ]
        if names and type(self.policy).width is not Policy.width:
            print_log(
                f'{type(self.policy).__name__}: no gradient reaches the potentials of {_some(names)} through time '
                '(parallel neurons), so the widths of these layers are searched with c = 0',
                'current',
            )

    def _report_unknown(self, network):
        """Says which spiking neurons of other libraries keep their own surrogate."""
        names = find_unknown(network)
        if names:
            print_log(
                f'{type(self.policy).__name__} leaves these neurons as they are, with their own surrogates, because '
                f'there is no adapter for them (see a2sg_zoo.adaptation.adapter): {_some(names)}',
                'current',
                logging.WARNING,
            )

    def undo(self) -> None:
        """Puts everything back."""
        while self._undo:
            self._undo.pop()()

    def _before_network(self, network, args):
        self._within_network, self._within_step = True, network.training
        if not network.training or any(getattr(layer, 'held', False) for layer in self.layers.values()):
            return
        self.policy.refuse_replica(network)
        # the forward pass that records gradients may come within the backward pass, for activation checkpointing
        self._pending = self._pending or backward_in_progress() < 0
        if self._pending and torch.is_grad_enabled() and self._own:
            self._begin_pass()

    def _after_network(self, network, args, output):
        self._within_network = self._within_step = False
        self._called.update(self._own)

    def _before_neuron(self, neuron):
        """Begins a pass where the network itself is not called, as in `network.head(network.body(x))`."""
        self.policy.refuse_replica(neuron)
        if self._within_network:
            return
        outside = backward_in_progress() < 0
        self._pending = self._pending or outside and neuron in self._called
        if self._pending and torch.is_grad_enabled():
            self._begin_pass()
        if outside:
            self._called.add(neuron)

    def _before_layer(self, layer, module, args, kwargs):
        """Opens a trace for the call, unless the call continues the time steps of an earlier one."""
        layer.calls = 0
        if not torch.is_grad_enabled():
            return None
        trains, now, before = module.training and not layer.held, backward_in_progress(), layer.trace
        if trains:
            self.policy.refuse_replica(module)
        layer.called = True
        state = layer.adapter.state(module, args, kwargs)
        same_pass = (
            before is not None and before.forward_pass == self._forward_pass and (layer.held or not self._pending)
        )
        if state is None or layer.fused:
            trace = before if (same_pass if state is None else requires_grad(*state)) else None
        else:
            trace = find(state, layer)
        if trace is not None and (trace.ended or trace.backward_pass != now or trace.held != layer.held):
            trace = None
        # a call through which no gradient passes says nothing on where a step begins
        decides = trains and (trace is not None or not has_no_gradient(module, state, args, kwargs))
        if trace is None:
            again = now < 0 and not self._within_step and (same_pass or not self._forward_pass)
            if decides and (self._pending or again):
                self._begin_pass()
            trace = self._open(layer)
        layer.trace = trace
        self._pending = self._pending and not decides
        trace.gate = None
        if trace.controller is not None and layer.adapter.through_time:
            threshold = layer.adapter.threshold(layer.module)
            if isinstance(threshold, Tensor) and threshold.requires_grad:
                trace.gate = Gate(threshold)
                return trace.gate.through_call(layer, args, kwargs)
        return None

    def _open(self, layer):
        adapts = self.policy.active and layer.module.training and not layer.held
        return Trace(layer, self._forward_pass, self.policy.controller(layer) if adapts else None)

    def _begin_pass(self):
        if self.policy.adapts and self.policy.layers is not self._enlisted:
            raise ConfigError(
                f'{type(self.policy).__name__} was attached to another network after the one with the layers '
                f'{_some(list(self.layers))}, and works on one network at a time. Give each network a '
                'policy of its own, or attach one module that contains both'
            )
        self._pending = False
        if backward_in_progress() < 0:
            self._called.clear()
        self._forward_pass += 1
        self.policy.begin_by_itself(self._forward_pass - 1)


def _some(names, separator=', '):
    more = len(names) - _SHOWN
    return separator.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')


def _restore(neuron, surrogate, widths):
    neuron.policy = neuron.on_call = None
    neuron.surrogate = surrogate
    for name in [name for name, _ in neuron.named_buffers(recurse=False) if name.startswith('policy_')]:
        delattr(neuron, name)
    neuron.set_widths(surrogate.beta)
    if widths.shape == neuron.beta.shape:
        neuron.set_widths(widths)


def _deferred(layer, fire):
    if isinstance(fire, (DeferredSurrogate, DeferredModule)):
        raise layer.refusal(
            'the neuron is part of another network that is under a policy; detach that one', ConfigError
        )
    if not isinstance(fire, nn.Module):
        return DeferredSurrogate(layer, fire)
    if any(True for _ in fire.buffers()):
        raise layer.refusal(f'its spike function, {type(fire).__name__}, has buffers of its own', ConfigError)
    return DeferredModule(layer, fire)


def _controller_of_fused(layer, x):
    """What decides the widths in a call of a fused neuron with the input x."""
    layer.move_to(x)
    if layer.held:
        return FixedWidths(layer.surrogate, layer.widths_for(len(x)))
    layer.fired = True
    trace = layer.trace if torch.is_grad_enabled() else None
    if trace is None or trace.controller is None:
        return FixedWidths(layer.surrogate, layer.widths_for(len(x)))
    if requires_grad(*layer.adapter.state(layer.module, (), {})):
        raise layer.refusal(
            'its state carries the gradient of an earlier call, and a search of a fused neuron ends with its call. '
            'Reset or detach the state between calls, or attach without fuse=True',
            ConfigError,
        )
    if layer.beta.numel() not in (1, len(x)):
        raise layer.wrong_time_steps(len(x))
    return trace.controller
