"""Neurons of other libraries beside ours, with the same constants, weights and surrogate, in float64.

Each entry of `PEERS` makes (our neuron, their neuron as a function of x, [(our parameter, theirs)], shape of x).
"""

from contextlib import contextmanager
from importlib import import_module
from unittest import mock

import torch
from torch import nn

from a2sg_zoo.neurons import (
    ALIF,
    CLIF,
    EIF,
    GLIF,
    ILIF,
    KLIF,
    NILIF,
    PSN,
    QIF,
    Izhikevich,
    MaskedPSN,
    Recurrent,
    SlidingPSN,
    SynapticLIF,
)
from a2sg_zoo.neurons.multistep import Spike
from a2sg_zoo.surrogates import ASY

T, B, F = 8, 6, 20
SURROGATE = ASY(0.8, 0.7)
KEY = dict(surrogate=SURROGATE, detach_reset=False)
SHAPE = (T, B, F)


class Fires(nn.Module):
    """Our surrogate in the place of a library's own."""

    spiking = True

    def forward(self, z, *args):
        return Spike.apply(z, SURROGATE, SURROGATE.beta)


def spikingjelly(name, **kwargs):
    neuron = getattr(import_module('spikingjelly.activation_based.neuron'), name)
    made = neuron(**kwargs).double()
    if hasattr(made, 'step_mode'):
        made.step_mode = 'm'
    made.surrogate_function = Fires()
    return made


def one(ours, theirs, shape=SHAPE):
    """A pair with parameters of the same names."""
    pairs = [(p, theirs.get_parameter(name)) for name, p in ours.named_parameters()]
    return ours.double(), theirs, pairs, shape


def klif(**kwargs):
    ours = KLIF(tau=2.5, v_reset=0.0, **kwargs, **KEY)
    soft = kwargs.pop('reset', 'hard') == 'soft'
    theirs = spikingjelly('KLIFNode', tau=2.5, v_reset=None if soft else 0.0, **kwargs)
    for neuron in (ours, theirs):
        neuron.k.data.fill_(1.3)
    return one(ours, theirs)


GLIF_NAMES = dict(decay='tau', threshold='v_threshold', leak='linear_decay', subtract='v_subreset', conduct='conduct')


def glif(channels):
    torch.manual_seed(0)
    ours = GLIF(T=T, channels=channels, **KEY).double()
    theirs = spikingjelly('GatedLIFNode', T=T, inplane=channels)
    pairs = [(getattr(ours, f'w_{name}'), getattr(theirs, name)) for name in ('alpha', 'beta', 'gamma')]
    pairs += [(getattr(ours, f'w_{name}'), getattr(theirs, their)) for name, their in GLIF_NAMES.items()]
    for our, their in pairs:
        their.data.copy_(our.data.view_as(their))
    return ours, theirs, pairs, (T, B, 5, 3, 2)


def integer(ours):
    surrogate = import_module('spikingjelly.activation_based.surrogate')
    neuron = import_module('spikingjelly.activation_based.neuron')
    theirs = neuron.ILIFNode(
        tau=4 / 3, surrogate_function=surrogate.MultiLevelSpikeCount(ours.levels), detach_reset=True, step_mode='m'
    ).double()
    return ours.double(), lambda x: theirs(x) * ours.unit, [], SHAPE


def alif():
    """norse adds the input to a current that acts one step later, which is undone here."""
    library = import_module('norse.torch.functional.lsnn')
    tau, tau_a, b = 2.0, 4.0, 1.2
    constants = library.LSNNParameters(
        tau_syn_inv=torch.tensor(1.0, dtype=torch.float64),
        tau_mem_inv=torch.tensor(1 / tau, dtype=torch.float64),
        tau_adapt_inv=torch.tensor(1 / tau_a, dtype=torch.float64),
        v_th=torch.tensor(1.0, dtype=torch.float64),
        beta=torch.tensor(b / (tau_a - 1), dtype=torch.float64),
    )

    def theirs(x):
        zeros = torch.zeros_like(x[0])
        state = library.LSNNFeedForwardState(v=zeros, i=zeros, b=zeros + 1.0)
        spikes = []
        with mock.patch.object(library, 'threshold', Fires()):
            for x_t in (*x, zeros):
                s, state = library.lsnn_feed_forward_step(x_t, state, constants, dt=1.0)
                spikes.append(s)
        return torch.stack(spikes[1:])

    return ALIF(tau=tau, tau_a=tau_a, b=b, **KEY).double(), theirs, [], SHAPE


def snntorch(name, states, **kwargs):
    """A cell with a reset to zero, where the time at which snnTorch resets makes no difference."""
    cell = getattr(import_module('snntorch'), name)(
        spike_grad=Fires(), reset_delay=False, reset_mechanism='zero', **kwargs
    ).double()

    def theirs(x):
        state, spikes = [torch.zeros_like(x[0])] * states, []
        for x_t in x:
            s, *state = cell(x_t, *state)
            state = [s, *state] if len(state) < states else state
            spikes.append(s)
        return torch.stack(spikes)

    return cell, theirs


def synaptic():
    _, theirs = snntorch('Synaptic', 2, alpha=0.6, beta=0.5)
    return SynapticLIF(tau=2.0, tau_syn=2.5, **KEY).double(), theirs, [], SHAPE


def recurrent_lif():
    cell, theirs = snntorch('RLeaky', 2, linear_features=F, beta=0.5)
    ours = Recurrent(dict(type='LIF', tau=2.0, decay_input=False, **KEY), features=F, bias=True).double()
    ours.feedback.load_state_dict(cell.recurrent.state_dict())
    pairs = [(ours.feedback.weight, cell.recurrent.weight), (ours.feedback.bias, cell.recurrent.bias)]
    return ours, theirs, pairs, SHAPE


def recurrent_synaptic():
    """norse divides the current by tau where it adds it to the potential."""
    library = import_module('norse.torch.functional.lif')
    tau, tau_syn = 2.0, 2.5
    ours = Recurrent(
        dict(type='SynapticLIF', tau=tau, tau_syn=tau_syn, surrogate=SURROGATE), features=F, bias=False
    ).double()
    weight = nn.Parameter(ours.feedback.weight.detach().clone())
    constants = library.LIFParameters(
        tau_syn_inv=torch.tensor(1 / tau_syn, dtype=torch.float64),
        tau_mem_inv=torch.tensor(1 / tau, dtype=torch.float64),
        v_th=torch.tensor(1.0, dtype=torch.float64),
    )

    def theirs(x):
        zeros = torch.zeros_like(x[0])
        state = library.LIFState(z=zeros, v=zeros, i=zeros)
        spikes = []
        with mock.patch.object(library, 'threshold', Fires()):
            for x_t in x:
                s, state = library.lif_step(x_t, state, tau * torch.eye(F).to(x), tau * weight, constants, dt=1.0)
                spikes.append(s)
        return torch.stack(spikes)

    return ours, theirs, [(ours.feedback.weight, weight)], SHAPE


def psn(ours, name, **kwargs):
    theirs = spikingjelly(name, **kwargs)
    theirs.load_state_dict({key: value for key, value in ours.state_dict().items() if key in ('weight', 'bias')}, False)
    return one(ours, theirs)


K = dict(surrogate=SURROGATE)
PEERS = {
    ('ALIF', 'norse', 'lsnn_feed_forward_step'): alif,
    ('SynapticLIF', 'snnTorch', 'Synaptic'): synaptic,
    ('SynapticLIF', 'SpikingJelly', 'CUBALIFNode'): lambda: one(
        SynapticLIF(tau=4.0, tau_syn=2.0, **KEY),
        spikingjelly('CUBALIFNode', c_decay=0.5, v_decay=0.75, v_threshold=1.0),
    ),
    ('QIF', 'SpikingJelly', 'QIFNode'): lambda: one(QIF(**KEY), spikingjelly('QIFNode')),
    ('QIF, soft reset', 'SpikingJelly', 'QIFNode'): lambda: one(
        QIF(reset='soft', v_reset=0.0, **KEY), spikingjelly('QIFNode', v_reset=None)
    ),
    ('EIF', 'SpikingJelly', 'EIFNode'): lambda: one(EIF(tau=3.0, **KEY), spikingjelly('EIFNode', tau=3.0)),
    ('Izhikevich', 'SpikingJelly', 'IzhikevichNode'): lambda: one(
        Izhikevich(a=0.3, b=0.2, tau_w=4.0, **KEY), spikingjelly('IzhikevichNode', a=0.3, b=0.2, tau_w=4.0)
    ),
    ('KLIF', 'SpikingJelly', 'KLIFNode'): klif,
    ('KLIF, scaled reset', 'SpikingJelly', 'KLIFNode'): lambda: klif(scale_reset=True),
    ('KLIF, scaled soft reset', 'SpikingJelly', 'KLIFNode'): lambda: klif(
        scale_reset=True, reset='soft', decay_input=False
    ),
    ('GLIF', 'SpikingJelly', 'GatedLIFNode'): lambda: glif(None),
    ('GLIF, each channel', 'SpikingJelly', 'GatedLIFNode'): lambda: glif(5),
    ('CLIF', 'SpikingJelly', 'ComplementaryLIFNode'): lambda: one(
        CLIF(tau=2.0, **KEY), spikingjelly('ComplementaryLIFNode', tau=2.0)
    ),
    ('ILIF', 'SpikingJelly', 'ILIFNode'): lambda: integer(ILIF(normalize=False)),
    ('NILIF', 'SpikingJelly', 'ILIFNode, over its largest count'): lambda: integer(NILIF()),
    ('PSN', 'SpikingJelly', 'PSN'): lambda: psn(PSN(T=T, **K), 'PSN', T=T),
    ('MaskedPSN', 'SpikingJelly', 'MaskedPSN'): lambda: psn(
        MaskedPSN(k=3, T=T, **K), 'MaskedPSN', k=3, T=T, lambda_init=1.0
    ),
    ('MaskedPSN, half masked', 'SpikingJelly', 'MaskedPSN'): lambda: psn(
        MaskedPSN(k=3, T=T, lambda_=0.5, **K), 'MaskedPSN', k=3, T=T, lambda_init=0.5
    ),
    ('SlidingPSN', 'SpikingJelly', 'SlidingPSN'): lambda: psn(SlidingPSN(k=3, **K), 'SlidingPSN', k=3),
    ('Recurrent LIF', 'snnTorch', 'RLeaky'): recurrent_lif,
    ('Recurrent SynapticLIF', 'norse', 'lif_step'): recurrent_synaptic,
}


def difference(name):
    """(largest difference of spikes, of gradients over the largest gradient, share of spikes)."""
    ours, theirs, pairs, shape = PEERS[name]()
    generator = torch.Generator().manual_seed(0)
    x, cotangent = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in 'ab')
    x = 1.5 * x + 0.6
    results = []
    for run, parameters in ((ours, [a for a, _ in pairs]), (theirs, [b for _, b in pairs])):
        x = x.detach().requires_grad_()
        s = run(x)
        results.append((s, torch.autograd.grad((s * cotangent).sum(), [x, *parameters])))
    (s, found), (s_theirs, expected) = results
    worst = max(float((a.reshape(b.shape) - b).abs().max() / b.abs().max()) for a, b in zip(found, expected))
    return float((s - s_theirs).detach().abs().max()), worst, float(s.detach().mean())


@contextmanager
def double():
    """Constants of other libraries, made from numbers, in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
