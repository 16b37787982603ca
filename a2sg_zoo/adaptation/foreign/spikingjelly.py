"""Adapters for SpikingJelly (2.0), single-step and multi-step, torch back end.

With a spike function that SpikingJelly does not know, its neurons run in plain torch; where a CUDA or Triton kernel is
requested for them, SpikingJelly itself raises an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, Declared, adapter
from a2sg_zoo.adaptation.foreign.fused import FusedSteps
from a2sg_zoo.neurons import Controller, Dynamics
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
    f'{_NEURONS}.integrate_and_fire.SimpleIFNode',
    f'{_NEURONS}.lif.SimpleLIFNode',
    f'{_NEURONS}.lif_variants.KLIFNode',
    f'{_NEURONS}.lif_variants.CUBALIFNode',
    f'{_NEURONS}.nonlinear_if.QIFNode',
    f'{_NEURONS}.nonlinear_if.EIFNode',
    f'{_NEURONS}.adapt.IzhikevichNode',
)
class Node(Adapter):
    """The simple IF and LIF nodes, and KLIF, CUBA-LIF, QIF, EIF and Izhikevich nodes."""

    def refuse(self, module: nn.Module) -> str | None:
        backend = getattr(module, 'backend', 'torch')
        if backend != 'torch':
            return f"the back end {backend!r} hides the surrogate from autograd; set backend = 'torch'"
        if getattr(module, '_neuron_precision', None) is not None:
            return 'an explicit neuron precision runs in a Triton kernel, which hides the surrogate from autograd'
        return None

    def state(self, module: Any, args: tuple, kwargs: Mapping[str, object]) -> Sequence[object]:
        return tuple(module.memories())

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


# what a subclass may override, and then compute something else than the node that our fused neuron knows
_COMPUTATION = (
    'forward',
    'multi_step_forward',
    'multi_step_functional_forward',
    'single_step_functional_forward',
    'materialize_states',
)


@adapter(f'{_NEURONS}.integrate_and_fire.IFNode')
class IFNode(Node):
    """The IF node, which our fused neuron computes on request. The adapters of nodes that leak are subclasses."""

    fusable = 'integrate_and_fire.IFNode'

    def rate(self, module: Any) -> tuple[float | Tensor, bool]:
        """(r, decay_input) of the node, see `Dynamics`."""
        return 0.0, False

    def equations(self, module: Any) -> tuple[float | Tensor, Dynamics]:
        """(leak rate, constants) of our neuron that computes what the node does."""
        rate, decay_input = self.rate(module)
        hard = module.v_reset is not None
        v_reset = module.v_reset if hard else 0.0
        return rate, Dynamics(module.v_threshold, v_reset, decay_input, hard, module.detach_reset)

    def fuse(self, module: Any, controller: Callable[[Tensor], Controller | None]) -> Callable[[], None] | str:
        if module.step_mode != 'm':
            return "it runs one time step a call; set step_mode = 'm'"
        name = f'{_NEURONS}.{self.fusable}'
        known = next(cls for cls in type(module).__mro__ if f'{cls.__module__}.{cls.__qualname__}' == name)
        changed = [name for name in _COMPUTATION if getattr(type(module), name) is not getattr(known, name)]
        if changed:
            return f'{type(module).__name__} has a {changed[0]} of its own'
        if not _fires_at_threshold(module.surrogate_function):
            return 'its spike function is not 1 from the threshold on and 0 below'
        if getattr(module, '_neuron_precision', None) is not None:
            return 'an explicit neuron precision was chosen'
        before = vars(module).get('multi_step_forward')
        module.multi_step_forward = FusedSteps(module, self.equations, controller)

        def undo():
            del module.multi_step_forward
            if before is not None:  # a copy of a fused node
                module.multi_step_forward = before

        return undo


@adapter(f'{_NEURONS}.lif.LIFNode')
class LIFNode(IFNode):
    """The LIF node."""

    fusable = 'lif.LIFNode'

    def rate(self, module: Any) -> tuple[float, bool]:
        return 1 / module.tau, module.decay_input


@adapter(f'{_NEURONS}.ilif.ILIFNode')
class IntegerNode(LIFNode):
    """The LIF node that sends counts of spikes."""

    suits_fixed = False

    def refuse(self, module: nn.Module) -> str:
        return 'it sends counts, with the gradient of the identity, so there is no window; take a LIFNode'


@adapter(f'{_NEURONS}.plif.ParametricLIFNode')
class ParametricLIF(IFNode):
    """The LIF node that learns its time constant."""

    fusable = 'plif.ParametricLIFNode'

    def leak(self, module: Any) -> tuple[Tensor, bool]:
        return module.w.sigmoid(), module.decay_input

    rate = leak


def _fires_at_threshold(fire):
    z = torch.tensor([-2.0, -0.5, -1e-6, 0.0, 1e-6, 0.5, 2.0])
    return torch.equal(fire(z), (z >= 0).to(z.dtype))


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
