"""Adapters for SpikingJelly (2.0), single-step and multi-step, torch back end.

With a spike function that SpikingJelly does not know, its neurons run in plain torch; where a CUDA or Triton kernel is
requested for them, SpikingJelly itself raises an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, Declared, adapter, requires_grad
from a2sg_zoo.surrogates import BOX, TRI, ATan, FastSigmoid, Gaussian, Sigmoid

_NEURONS = 'spikingjelly.activation_based.neuron'


def _step(where, inside, outside):
    return where.double() * (inside - outside) + outside


# the classes of spikingjelly.activation_based.surrogate, as in their docstrings
_SHAPES: dict[str, Callable[..., Declared]] = {
    'PiecewiseQuadratic': lambda text, alpha: Declared.like(text, TRI(1 / alpha)),
    'PiecewiseExp': lambda text, alpha: Declared(text, lambda z: alpha / 2 * (-alpha * z.abs()).exp(), 1 / alpha),
    'Sigmoid': lambda text, alpha: Declared.like(text, Sigmoid(alpha)),
    'SoftSign': lambda text, alpha: Declared.like(text, FastSigmoid(alpha), alpha / 2),
    'SuperSpike': lambda text, alpha: Declared.like(text, FastSigmoid(1.0), alpha),
    'ATan': lambda text, alpha: Declared.like(text, ATan(alpha)),
    'NonzeroSignLogAbs': lambda text, alpha: Declared(text, lambda z: alpha / (1 + (alpha * z).abs()), 1 / alpha),
    'Erf': lambda text, alpha: Declared.like(text, Gaussian(math.sqrt(0.5) / alpha)),
    'Rect': lambda text, alpha: Declared.like(text, BOX(0.5 / alpha)),
    'PiecewiseLeakyReLU': lambda text, w, c: Declared(text, lambda z: _step(z.abs() <= w, 0.5 / w, c), w),
    'LeakyKReLU': lambda text, leak, k: Declared(text, lambda z: _step(z >= 0, k, leak)),
    'QPseudoSpike': lambda text, alpha: Declared(
        text, lambda z: (1 + 2 * z.abs() / (alpha - 1)) ** -alpha, (alpha - 1) / 2
    ),
    'S2NN': lambda text, alpha, beta: Declared(
        text, lambda z: torch.where(z < 0, Sigmoid(alpha)(z, 1 / alpha), beta / (z.abs() + 1)), 1 / alpha
    ),
    'DeterministicPass': lambda text: Declared(text, torch.ones_like),
}


@adapter(
    f'{_NEURONS}.integrate_and_fire.IFNode',
    f'{_NEURONS}.integrate_and_fire.SimpleIFNode',
    f'{_NEURONS}.lif.LIFNode',
    f'{_NEURONS}.lif.SimpleLIFNode',
    f'{_NEURONS}.lif_variants.KLIFNode',
    f'{_NEURONS}.lif_variants.CUBALIFNode',
    f'{_NEURONS}.nonlinear_if.QIFNode',
    f'{_NEURONS}.nonlinear_if.EIFNode',
    f'{_NEURONS}.adapt.IzhikevichNode',
)
class Node(Adapter):
    """IF, LIF, KLIF, CUBA-LIF, QIF, EIF and Izhikevich nodes."""

    def refuse(self, module: nn.Module) -> str | None:
        backend = getattr(module, 'backend', 'torch')
        if backend != 'torch':
            return f"the back end {backend!r} hides the surrogate from autograd; set backend = 'torch'"
        if getattr(module, '_neuron_precision', None) is not None:
            return 'an explicit neuron precision runs in a Triton kernel, which hides the surrogate from autograd'
        return None

    def continues(self, module: Any, args: tuple) -> bool:
        return requires_grad(*module.memories())

    def declared(self, module: Any) -> Declared:
        function = module.surrogate_function
        name = type(function).__name__
        if not type(function).__module__.startswith('spikingjelly.') or name not in _SHAPES:
            return super().declared(module)
        # extra_repr is 'alpha=4.0, spiking=True'
        words = (word.partition('=') for word in function.extra_repr().split(', '))
        arguments = {key: float(value) for key, _, value in words if key not in ('', 'spiking')}
        text = f'{name}({", ".join(f"{key}={value:g}" for key, value in arguments.items())})'
        return _SHAPES[name](text, **arguments)

    def reset(self, module: Any) -> None:
        module.reset()

    def run(self, module: Any, x: Tensor) -> object:
        return module(x) if module.step_mode == 'm' else [module(x_t) for x_t in x]


@adapter(f'{_NEURONS}.plif.ParametricLIFNode')
class ParametricLIF(Node):
    """The LIF node that learns its time constant."""

    def leak(self, module: Any) -> tuple[Tensor, bool]:
        return module.w.sigmoid(), module.decay_input


@adapter(f'{_NEURONS}.lif_variants.GatedLIFNode')
class GatedLIF(Node):
    """The gated LIF node; its threshold is learned, one a channel, as a sigmoid."""

    def threshold(self, module: Any) -> Tensor:
        return module.v_threshold.view(1, -1, 1, 1).sigmoid()

    def features(self, module: Any) -> int:
        return module.v_threshold.numel()

    def run(self, module: Any, x: Tensor) -> object:
        # it has a parameter for each time step
        return module(x[:1].expand(module.T, *x.shape[1:])[..., None, None])


@adapter(
    f'{_NEURONS}.psn.PSN',
    f'{_NEURONS}.psn.MaskedPSN',
    f'{_NEURONS}.psn.SlidingPSN',
    f'{_NEURONS}.lif_variants.LIAFNode',
    f'{_NEURONS}.lif_variants.ComplementaryLIFNode',
    f'{_NEURONS}.integrate_and_fire.HalfThresholdIFNode',
)
class Unsuitable(Adapter):
    """Neurons that a search cannot work on."""

    def refuse(self, module: nn.Module) -> str:
        if 'PSN' in type(module).__name__:
            return (
                'a parallel spiking neuron computes all time steps at once, so it has no potential of one time step '
                'that later ones depend on; take a LIFNode, or attach a Fixed policy'
            )
        return 'this kind of neuron is not supported; take a LIFNode, or attach a Fixed policy'

    def threshold(self, module: nn.Module) -> float:
        return getattr(module, 'v_threshold', 1.0)
