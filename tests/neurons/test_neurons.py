"""The hand-written backward pass against plain autograd, and the dynamics against a loop over single neurons."""

import copy
import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import (
    IF,
    LIF,
    PLIF,
    compute_fused,
    compute_reference,
    hold_widths,
    multistep_reference,
    recorded_gradients,
    recorded_potentials,
    use_backend,
)
from a2sg_zoo.neurons.activation_memory import spikes_from_potentials
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan

KINDS = dict(
    IF=(IF, {}),
    LIF=(LIF, dict(tau=2.0)),
    LIF_summed=(LIF, dict(tau=1.7, decay_input=False)),
    PLIF=(PLIF, dict(tau=2.5)),
    PLIF_summed=(PLIF, dict(tau=2.5, decay_input=False)),
)
VARIANTS = list(itertools.product(KINDS, ['hard', 'soft'], [True, False], [0.0, -0.3]))


def make(kind, **kwargs):
    cls, arguments = KINDS[kind]
    return cls(**arguments, **kwargs)


def gradients(spikes, neuron, x, cotangent):
    wanted = [x, *neuron.parameters()]
    return torch.autograd.grad((spikes * cotangent).sum(), wanted, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize('kind, reset, detach_reset, v_reset', VARIANTS)
@settings(max_examples=8)
@given(data=st.data())
def test_backward_equals_autograd(kind, reset, detach_reset, v_reset, data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 9)))
    surrogate = data.draw(st.sampled_from([ASY(0.7, 0.6), TRI(0.9), BOX(1.1), ATan()]))
    neuron = make(
        kind, surrogate=surrogate, reset=reset, detach_reset=detach_reset, v_reset=v_reset, v_threshold=0.8
    ).double()
    neuron.beta = torch.rand(shape[0], dtype=torch.float64) + 0.3
    x = (torch.randn(shape, dtype=torch.float64) + 0.5).requires_grad_()
    cotangent = torch.randn(shape, dtype=torch.float64)
    spikes = neuron(x)
    reference = multistep_reference(x, neuron.rate, neuron.dynamics, surrogate, neuron.beta)
    assert torch.equal(spikes, reference)
    for ours, theirs in zip(gradients(spikes, neuron, x, cotangent), gradients(reference, neuron, x, cotangent)):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('kind, reset, detach_reset, v_reset', VARIANTS)
def test_dynamics_equal_a_single_neuron(kind, reset, detach_reset, v_reset):
    neuron = make(kind, reset=reset, detach_reset=detach_reset, v_reset=v_reset).double().eval()
    x = torch.randn(7, 1, 1, dtype=torch.float64) + 0.7
    v, expected = v_reset, []
    tau = None if kind == 'IF' else float(torch.as_tensor(neuron.tau).detach())
    for current in x.flatten().tolist():
        if kind == 'IF':
            u = v + current
        elif neuron.decay_input:
            u = v + (current - (v - v_reset)) / tau
        else:
            u = (1 - 1 / tau) * v + current
        s = float(u >= 1)
        v = (v_reset if s else u) if reset == 'hard' else u - s
        expected.append(s)
    assert neuron(x).flatten().tolist() == expected


def reference_potentials(neuron, x):
    """(spikes, membrane potentials) by a loop, as autograd sees it."""
    decay, gain, shift = neuron.dynamics.coefficients(neuron.rate)
    v, spikes, potentials = torch.full_like(x[0], neuron.dynamics.v_reset), [], []
    for t, x_t in enumerate(x):
        u = decay * v + gain * x_t + shift
        z = u - neuron.v_threshold
        f = neuron.surrogate(z.detach(), neuron.beta[t])
        s = (z >= 0).to(u.dtype) + (z - z.detach()) * f
        s_reset = s.detach() if neuron.dynamics.detach_reset else s
        if neuron.dynamics.hard_reset:
            v = u * (1 - s_reset) + neuron.dynamics.v_reset * s_reset
        else:
            v = u - neuron.v_threshold * s_reset
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes), torch.stack(potentials)


@pytest.mark.parametrize('kind, reset, detach_reset, v_reset', VARIANTS)
def test_a_loss_on_potentials_and_spikes(kind, reset, detach_reset, v_reset):
    neuron = make(kind, surrogate=ASY(0.7, 0.6), reset=reset, detach_reset=detach_reset, v_reset=v_reset).double()
    neuron.beta = torch.rand(5, dtype=torch.float64) + 0.3
    x = (torch.randn(5, 2, 7, dtype=torch.float64) + 0.5).requires_grad_()
    on_s, on_u = torch.randn_like(x), torch.randn_like(x)
    with recorded_potentials(neuron) as potentials:
        spikes = neuron(x)
    ((owner, u),) = potentials
    s_reference, u_reference = reference_potentials(neuron, x)
    assert owner is neuron and neuron.potentials is None
    torch.testing.assert_close(u, u_reference)
    wanted = [x, *neuron.parameters()]
    for a, b in ((1, 1), (0, 1)):  # with a loss on the spikes too, and without one
        ours = torch.autograd.grad(
            (a * (spikes * on_s).sum() if a else 0) + b * (u * u * on_u).sum(), wanted, retain_graph=True
        )
        theirs = torch.autograd.grad(
            a * (s_reference * on_s).sum() + b * (u_reference**2 * on_u).sum(), wanted, retain_graph=True
        )
        for our, their in zip(ours, theirs):
            torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('layout', ['channels_last', 'expanded', 'transposed'])
def test_any_strides(layout):
    x = torch.randn(4, 2, 3, 5, 5, dtype=torch.float64)
    if layout == 'channels_last':
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (4, 2))
    elif layout == 'expanded':
        x = x[:1].expand(4, 2, 3, 5, 5)
    else:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    neuron = LIF().double()
    results = []
    for y in (x.detach(), x.contiguous()):
        y.requires_grad_()
        s = neuron(y)
        results.append((s, torch.autograd.grad((s * s.cumsum(0)).sum(), y)[0]))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('chunk', [False, True])
def test_spikes_may_be_changed_in_place(kind, chunk):
    """A residual connection, in the memory format of x, and in a network that keeps potentials in place of spikes."""
    neuron = make(kind).double()
    x = torch.randn(4, 2, 3, 5, 5, dtype=torch.float64).transpose(2, 4).requires_grad_()
    results = []
    for add in (torch.add, torch.Tensor.add_):
        with spikes_from_potentials():
            s, *rest = neuron.advance(x) if chunk else (neuron(x),)
            last = s[-1].clone()
            out = add(s, x)
            loss = out.square().sum() + sum(q.sin().sum() for (q,) in rest)
        assert out.stride() == x.stride() and (out is s or torch.equal(last, s[-1]))
        results.append((out, *gradients(loss, neuron, x, torch.ones(()))))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_a_change_of_potentials_in_place_is_noticed():
    neuron, x = LIF(), torch.randn(4, 2, 3, requires_grad=True)
    with recorded_potentials(neuron) as potentials:
        s = neuron(x)
    potentials[0][1].add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        s.sum().backward()


def test_keeps_only_the_membrane_potential():
    x = torch.randn(4, 2, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        LIF()(x)
    assert [shape.numel() for shape in kept] == [x.numel()]


def test_reference_can_be_differentiated_twice():
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    neuron = LIF(surrogate=dict(type='ATan')).double()
    s = multistep_reference(x, neuron.rate, neuron.dynamics, neuron.surrogate, 0.5)
    (grad,) = torch.autograd.grad((s * torch.randn_like(s)).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), x)
    assert second.abs().sum() > 0


def test_the_reference_backend_is_the_same_function():
    neuron = LIF(surrogate=ASY(), T=4, detach_reset=False).double()
    neuron.set_widths(torch.tensor([0.4, 0.6, 0.8, 1.0]))
    x = (2 * torch.randn(4, 3, 5, dtype=torch.float64)).requires_grad_()
    results = []
    for backend in (compute_fused, compute_reference):
        with use_backend(neuron, backend), recorded_potentials(neuron) as potentials:
            s = neuron(x)
        ((_, u),) = potentials
        results.append((s, u, *torch.autograd.grad((s * s.cumsum(0)).sum() + u.square().sum(), x)))
    assert neuron.backend is compute_fused
    for ours, reference in zip(*results):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def test_recorded_gradients_and_held_widths():
    network = torch.nn.Sequential(LIF(T=3), torch.nn.Linear(4, 4), LIF(T=3)).double()
    policy = A2SG()
    attach(network, policy)
    policy.begin(0)
    x = (2 * torch.randn(3, 50, 4, dtype=torch.float64)).requires_grad_()
    seen = {}
    with hold_widths(network), recorded_gradients(network, lambda name, u, delta: seen.update({name: (u, delta)})):
        y = network(x)
    (dx,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x)
    assert all((neuron.beta == 1).all() for neuron in network[::2])
    assert list(seen) == ['2', '0'] and all(z.shape == (3, 200) for pair in seen.values() for z in pair)
    torch.testing.assert_close(seen['0'][1] * network[0].rate, dx.flatten(1))
    network(x).sum().backward()
    assert any((neuron.beta != 1).any() for neuron in network[::2])


def test_no_state_between_calls():
    neuron, x = LIF().eval(), torch.randn(4, 2, 5)
    assert torch.equal(neuron(x), neuron(x))
    assert torch.equal(copy.deepcopy(neuron)(x), neuron(x))


@pytest.mark.parametrize(
    'config, error, named',
    [
        (dict(type='LIFF'), ConfigError, "'LIFF'.*'LIF'"),
        (dict(type='LIF', tau='two'), ConfigError, "LIF: tau .*'two'"),
        (dict(type='LIF', tau=0.5), ValueError, 'LIF: tau .*0.5'),
        (dict(type='PLIF', tau=1.0), ValueError, 'PLIF: tau'),
        (dict(type='LIF', reset='zero'), ValueError, "LIF: reset .*'zero'"),
        (dict(type='LIF', T=0), ConfigError, 'LIF: T .*0'),
        (dict(type='IF', v_threshold=-1), ValueError, 'IF: v_threshold .*-1'),
        (dict(type='IF', v_reset=1.0), ValueError, 'IF: v_reset = 1.0 .*v_threshold'),
    ],
)
def test_wrong_arguments_are_named(config, error, named):
    with pytest.raises(error, match=named):
        NEURONS.build(config)


@pytest.mark.parametrize('kind', sorted({*NEURONS.module_dict} - {'Recurrent'}))
def test_an_input_without_time_steps_is_refused(kind):
    neuron = NEURONS.build(dict(type=kind))
    for shape in ((0, 2, 3), (3,)):
        with pytest.raises(ConfigError, match=rf'{kind} .*{re.escape(str(shape))}'):
            neuron(torch.zeros(shape))
