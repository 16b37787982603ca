"""Adapters for SpikingJelly (2.0), single-step and multi-step, torch back end.

With a spike function that SpikingJelly does not know, its neurons run in plain torch; where a CUDA or Triton kernel is
requested for them, SpikingJelly itself raises an error.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, adapter, requires_grad

_NEURONS = 'spikingjelly.activation_based.neuron'


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
