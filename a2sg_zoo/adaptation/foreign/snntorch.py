"""Adapters for snnTorch (1.0)."""

from __future__ import annotations

from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, adapter, requires_grad

_NEURONS = 'snntorch._neurons'


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

    def continues(self, module: nn.Module, args: tuple) -> bool | None:
        states = [x for x in args[1:] if isinstance(x, Tensor)]
        if not states and module.init_hidden:
            states = [x for name, x in module.named_buffers() if name in _STATES]
        # without any, the state may be given by keyword
        return requires_grad(*states) if states else None


_STATES = ('mem', 'spk', 'syn', 'syn_exc', 'syn_inh')
