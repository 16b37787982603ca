"""The layers of a network that a policy can work on, and which networks are under one."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

from torch import Tensor, nn

from a2sg_zoo.adaptation.base import Policy
from a2sg_zoo.adaptation.foreign import ForeignLayer, find_adapter
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import ILIF, Neuron

# the `Attachment` of each network that is under a policy
attachments: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()
_SHOWN = 8
# where the known libraries have their neurons
_NEURONS = ('spikingjelly.activation_based.neuron.', 'snntorch._neurons.', 'norse.torch.module.', 'braincog.base.node.')


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
            setattr(self[layer], key, value.to(own[name].device).clone())


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
    found = {layer for attachment in attachments.values() for layer in attachment.layers.values()}
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
            asks = adapts or policy is not None and not adapter.suits_fixed
            reason = adapter.refuse(module) if asks else None
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


def find_unknown(network: nn.Module) -> list[str]:
    """'name (class)' of the spiking neurons of known libraries that have no adapter, so no policy works on them."""
    return [
        f'{name or "the network itself"} ({type(module).__name__})'
        for name, module in network.named_modules()
        if type(module).__module__.startswith(_NEURONS) and find_adapter(module) is None and _spikes(module)
    ]


def _spikes(module):
    name = type(module).__name__
    if any(hasattr(module, attribute) for attribute in ('surrogate_function', 'spike_grad', 'act_fun')):
        return True
    return ('IF' in name or 'Izhikevich' in name) and not ('NonSpiking' in name or name.endswith('Encoder'))


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
