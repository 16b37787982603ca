"""Adapters for snnTorch (1.0)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, Declared, adapter
from a2sg_zoo.surrogates import TRI, ATan, FastSigmoid, Sigmoid

_NEURONS = 'snntorch._neurons'
# makers of spike functions in snntorch.surrogate, as documented there; the triangle as its name says
_SHAPES: dict[str, Callable[..., Declared]] = {
    'fast_sigmoid': lambda text, slope: Declared.like(text, FastSigmoid(slope)),
    'atan': lambda text, alpha: Declared.like(text, ATan(alpha)),
    'sigmoid': lambda text, slope: Declared.like(text, Sigmoid(slope)),
    'triangular': lambda text, threshold: Declared.like(text, TRI(threshold, 'peak'), threshold),
    'straight_through_estimator': lambda text: Declared(text, torch.ones_like),
    'spike_rate_escape': lambda text, beta, slope: Declared(
        text, lambda z: slope * torch.exp(-beta * (z - 1).abs()), 1 / beta
    ),
    'SFS': lambda text, slope, B: Declared(text, lambda z: (z > B) / (1 + slope * z.abs()).square(), 1 / slope),
}


@adapter(
    f'{_NEURONS}.leaky.Leaky',
    f'{_NEURONS}.rleaky.RLeaky',
    f'{_NEURONS}.synaptic.Synaptic',
    f'{_NEURONS}.rsynaptic.RSynaptic',
    f'{_NEURONS}.alpha.Alpha',
    f'{_NEURONS}.lapicque.Lapicque',
)
class SpikingNeuron(Adapter):
    """Leaky, RLeaky, Synaptic, RSynaptic, Alpha and Lapicque.

    Each call of such a neuron calls `spike_grad` twice: first with the potential of the step before, for a reset that
    no gradient passes, and then for the spikes.
    """

    spike_attribute = 'spike_grad'
    threshold_attribute = 'threshold'
    calls_before = 1

    def refuse(self, module: nn.Module) -> str | None:
        if module.state_quant:
            return 'state_quant hides the potential from autograd; leave it out, or attach a Fixed policy'
        if module.surrogate_disable:
            return 'surrogate_disable=True asks for no surrogate; leave it out'
        return None

    def declared(self, module: Any) -> Declared:
        function = module.spike_grad
        maker, found = getattr(function, '__qualname__', '').partition('.')[0], {}
        if inspect.isfunction(function) and function.__module__ == 'snntorch.surrogate':
            found = dict(inspect.getclosurevars(function).nonlocals)
        if maker not in _SHAPES or not inspect.isfunction(function):
            return super().declared(module)
        text = f'{maker}({", ".join(f"{key}={value:g}" for key, value in found.items())})'
        return _SHAPES[maker](text, **{key: float(value) for key, value in found.items()})

    def features(self, module: Any) -> int | None:
        recurrent = getattr(module, 'recurrent', None)
        if isinstance(recurrent, nn.Linear):
            return recurrent.in_features
        size = getattr(getattr(recurrent, 'V', None), 'numel', lambda: 1)()
        return size if size > 1 else None

    def reset(self, module: Any) -> None:
        module.reset_mem()

    def run(self, module: Any, x: Tensor) -> object:
        if module.init_hidden:
            return [module(x_t) for x_t in x]
        states: Any = module.reset_mem()
        states, outputs = states if isinstance(states, tuple) else (states,), []
        for x_t in x:
            spikes, *states = module(x_t, *states)
            outputs.append(spikes)
        return outputs

    def state(self, module: nn.Module, args: tuple, kwargs: Mapping[str, object]) -> Sequence[object]:
        given = [x for x in (*args[1:], *map(kwargs.get, _STATES)) if x is not None]
        # without any, the neuron goes on from what it kept
        return given or [x for name, x in module.named_buffers() if name in _STATES]


@adapter(f'{_NEURONS}.deltaleaky.DeltaLeaky')
class DeltaLeaky(SpikingNeuron):
    """Leaky that fires when its potential changes."""

    suits_fixed = False

    def refuse(self, module: nn.Module) -> str:
        return 'its spikes follow from a change of the potential, not from a threshold of it; take a Leaky'


_STATES = ('mem', 'spk', 'syn', 'syn_exc', 'syn_inh')
