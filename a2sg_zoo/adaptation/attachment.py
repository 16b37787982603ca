"""Putting a network under a policy: networks of ours, of other libraries, and mixed ones."""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from a2sg_zoo.adaptation.base import Policy
from a2sg_zoo.adaptation.foreign import ForeignLayer, find_adapter
from a2sg_zoo.adaptation.foreign.deferred import DeferredModule, DeferredSurrogate
from a2sg_zoo.adaptation.foreign.gate import Gate
from a2sg_zoo.adaptation.foreign.layer import Trace
from a2sg_zoo.adaptation.hooks import InertHook
from a2sg_zoo.compat import backward_in_progress
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import ILIF, FixedWidths, Neuron, hold_widths, set_time_steps

_attachments: weakref.WeakKeyDictionary[nn.Module, Attachment] = weakref.WeakKeyDictionary()
_SHOWN = 8


class Layers(dict):
    """{qualified name: layer} of an attached network; a layer is a `Neuron`, or a `ForeignLayer` of another library.

    Widths of our neurons are saved with the network. Those of other libraries' neurons are saved with this object, so
    the state dict of the network itself stays as it was.
    """

    def state_dict(self) -> dict[str, Tensor]:
        """{name: tensor} of the widths of all neurons of other libraries, and of what a policy keeps with them."""
        foreign = {name: layer for name, layer in self.items() if isinstance(layer, ForeignLayer)}
        return {f'{name}.{key}': x.clone() for name, layer in foreign.items() for key, x in layer.kept().items()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            ConfigError: names are missing or unknown.
        """
        own = self.state_dict()
        wrong = sorted(own.keys() ^ state_dict.keys())
        if wrong:
            raise ConfigError(f'the saved widths do not belong to this network and policy: {", ".join(wrong[:_SHOWN])}')
        for name, value in state_dict.items():
            layer, _, key = name.rpartition('.')
            setattr(self[layer], key, value.to(own[name]).clone())


def attach(network: nn.Module, policy: Policy, T: int | None = None, fuse: bool = False) -> Layers:
    """Puts all spiking neurons of a network under a policy: its surrogate, its initial widths, its search.

    Afterwards, train as before. A forward pass in training mode begins a step of the policy by itself. Where parts of
    the network are called and not the network itself, a step begins when a neuron is called again. Call
    `policy.begin(iteration, ...)` before each forward pass to have resumed runs repeat their random numbers, to
    accumulate gradients over several forward passes, or to take statistics.

    Neurons of SpikingJelly, snnTorch and norse are known; see `adapter` for neurons of other libraries and your own.

    Args:
        network: a network with neurons of this package or of another library.
        policy: the policy.
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
    if network in _attachments:
        if _attachments[network].policy is policy:
            return _attachments[network].layers
        raise ConfigError(
            f'{type(network).__name__} is under {_attachments[network].policy!r} already; call detach(network) first'
        )
    attachment = Attachment(network, policy, T, fuse)
    _attachments[network] = attachment
    return attachment.layers


def detach(network: nn.Module) -> None:
    """Takes a network from its policy: its neurons have their own surrogates and widths again.

    Raises:
        ConfigError: the network is under no policy.
    """
    if network not in _attachments:
        raise ConfigError(f'{type(network).__name__} is under no policy')
    _attachments.pop(network).undo()


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Within it, forward passes are no training steps: no policy is asked or told anything, and nothing is counted.

    Every layer has its surrogate and the widths in force.

    Args:
        network: a network, attached or not, or a part of one.
    """
    modules = set(network.modules())
    layers = [layer for attachment in _attachments.values() for layer in attachment.layers.values()]
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
        self._forward_pass, self._pending, self._within_network = 0, False, False
        # our neurons that begin a pass when they are called outside of the network's own forward pass
        self._called = set(self._own)
        if T is not None:
            set_time_steps(network, T)
        policy.enlist(self.layers)
        try:
            for order, layer in enumerate(self.layers.values()):
                self._take(layer, order, fuse)
            if self._left:
                self._report_left()
            self._report_parallel()
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
        more = len(self._left) - _SHOWN
        shown = '; '.join(self._left[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
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
            shown = ', '.join(names[:_SHOWN]) + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')
            print_log(
                f'{type(self.policy).__name__}: no gradient reaches the potentials of {shown} through time (parallel '
                'neurons), so the widths of these layers are searched with c = 0',
                'current',
            )

    def undo(self) -> None:
        """Puts everything back."""
        while self._undo:
            self._undo.pop()()

    def _before_network(self, network, args):
        self._within_network = True
        if not network.training or any(getattr(layer, 'held', False) for layer in self.layers.values()):
            return
        self.policy.refuse_replica(network)
        # the forward pass that records gradients may come within the backward pass, for activation checkpointing
        self._pending = self._pending or backward_in_progress() < 0
        if self._pending and torch.is_grad_enabled() and self._own:
            self._begin_pass()

    def _after_network(self, network, args, output):
        self._within_network = False
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
        """Opens a trace for the call, unless the call continues the time steps of the one before it."""
        layer.calls = 0
        if not torch.is_grad_enabled():
            return None
        if module.training and not layer.held:
            self.policy.refuse_replica(module)
        layer.called = True
        trace, now = layer.trace, backward_in_progress()
        pending = self._pending and not layer.held
        continues = layer.adapter.continues(layer.module, args)
        same_pass = trace is not None and trace.forward_pass == self._forward_pass and not pending
        if (
            trace is None
            or trace.ended
            or trace.backward_pass != now
            or not (same_pass if continues is None else continues)
        ):
            again = now < 0 and (same_pass or not self._forward_pass)
            if layer.module.training and (pending or again) and not layer.held:
                self._begin_pass()
            layer.trace = trace = self._open(layer)
        self._pending = self._pending and layer.held
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
        self._pending = False
        if backward_in_progress() < 0:
            self._called.clear()
        self._forward_pass += 1
        self.policy.begin_by_itself(self._forward_pass - 1)


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
    if layer.adapter.continues(layer.module, ()):
        raise layer.refusal(
            'its state carries the gradient of an earlier call, and a search of a fused neuron ends with its call. '
            'Reset or detach the state between calls, or attach without fuse=True',
            ConfigError,
        )
    if layer.beta.numel() not in (1, len(x)):
        raise layer.wrong_time_steps(len(x))
    return trace.controller


def find_layers(network: nn.Module, policy: Policy | None = None) -> dict[str, Neuron | ForeignLayer]:
    """{qualified name: layer} of all spiking neurons, in the order of definition.

    Args:
        network: the network.
        policy: the policy that is to work on them; None to look at them only, as they are.

    Returns:
        Layers; a new one for each neuron of another library, unless it is under a policy and only looked at.

    Raises:
        ConfigError: there are none, or the policy cannot work on one of them.
    """
    layers: dict[str, Neuron | ForeignLayer] = {}
    names: dict[int, str] = {}
    refused, attached = [], {}
    found = {layer for attachment in _attachments.values() for layer in attachment.layers.values()}
    if policy is None:
        attached = {layer.module: layer for layer in found if isinstance(layer, ForeignLayer)}
    for name, module in network.named_modules(remove_duplicate=False):
        adapter = find_adapter(module)
        reason = None
        if isinstance(module, Neuron):
            layers.setdefault(names.setdefault(id(module), name), module)
            if policy is not None and module in found:
                reason = 'it is part of another network that is under a policy; detach that one'
        elif adapter is not None:
            adapts = policy is not None and policy.adapts
            reason = adapter.refuse(module) if adapts else None
            if id(module) in names:
                if not adapts:
                    continue
                reason = f'it is the same neuron as {names[id(module)]}; give each place a neuron of its own'
            names.setdefault(id(module), name)
            if reason is None:
                layers[name] = attached.get(module) or ForeignLayer(name, module, adapter)
        if reason is not None:
            refused.append(f'{name or "the network itself"} ({type(module).__name__}): {reason}')
    if refused:
        raise ConfigError(f'{type(policy).__name__} cannot work on {"; ".join(refused[:_SHOWN])}')
    if not layers:
        raise _no_neurons(network, '' if policy is None else f' for {type(policy).__name__} to work on')
    return layers


def _no_neurons(network, purpose):
    seen = Counter(type(module).__name__ for module in network.modules() if module is not network)
    shown = ', '.join(f'{name} ({n})' for name, n in seen.most_common(20)) or 'none'
    integer = sum(isinstance(module, ILIF) for module in network.modules())
    return ConfigError(
        f'{type(network).__name__} has no spiking neurons with a surrogate{purpose}. '
        + (
            f'Its {integer} ILIF neurons send counts, with the gradient of the identity: there is no window to choose. '
            'Use a network with LIF neurons, or leave the policy out. '
            if integer
            else ''
        )
        + f'Classes of its modules: {shown}. For a neuron of your own, write an adapter: see '
        'a2sg_zoo.adaptation.adapter'
    )
