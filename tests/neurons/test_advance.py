"""A sequence in chunks of time steps against the whole sequence at once: spikes, gradients, widths, statistics."""

import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.adaptation import A2SG, SASG, STASG, TASG, attach
from a2sg_zoo.adaptation.baselines import CPNG, MPDAGL
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import (
    IF,
    LIF,
    PLIF,
    NeuronState,
    compute_reference,
    multistep_reference,
    recorded_gradients,
    recorded_potentials,
    use_backend,
)
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan

KINDS = dict(
    IF=(IF, {}),
    LIF=(LIF, dict(tau=2.0)),
    LIF_tau_1=(LIF, dict(tau=1.0)),
    LIF_summed=(LIF, dict(tau=1.7, decay_input=False)),
    PLIF=(PLIF, dict(tau=2.5)),
    PLIF_summed=(PLIF, dict(tau=2.5, decay_input=False)),
)
VARIANTS = list(itertools.product(KINDS, ['hard', 'soft'], [True, False], [0.0, -0.3]))


def make(kind, **kwargs):
    cls, arguments = KINDS[kind]
    return cls(**arguments, **kwargs).double()


def advance(neuron, x, lengths):
    """The spikes of a sequence in chunks of the given lengths."""
    spikes, state = [], None
    for part in x.split(lengths):
        s, state = neuron.advance(part, state)
        spikes.append(s)
    return torch.cat(spikes)


def under_search(neuron):
    """Puts a neuron under A2SG, in a step that searches."""
    policy = A2SG(beta_min=0.2)
    attach(torch.nn.Sequential(neuron), policy)
    policy.begin(0)
    return policy


def lengths_of(T):
    """Ways to cut T time steps."""
    return st.lists(st.booleans(), min_size=T - 1, max_size=T - 1).map(
        lambda cuts: [len(run) for run in ''.join('|.' if cut else '.' for cut in [False, *cuts]).split('|')]
    )


@pytest.mark.parametrize('kind, reset, detach_reset, v_reset', VARIANTS)
@settings(max_examples=4)
@given(data=st.data())
def test_chunks_equal_autograd_over_the_whole(kind, reset, detach_reset, v_reset, data):
    T = data.draw(st.integers(1, 9))
    lengths = data.draw(lengths_of(T))
    surrogate = data.draw(st.sampled_from([ASY(0.7, 0.6), TRI(0.9), BOX(1.1), ATan()]))
    neuron = make(kind, surrogate=surrogate, reset=reset, detach_reset=detach_reset, v_reset=v_reset, v_threshold=0.8)
    neuron.beta = torch.rand(T, dtype=torch.float64) + 0.3
    x = (torch.randn(T, 2, 5, dtype=torch.float64) + 0.5).requires_grad_()
    g = torch.randn_like(x)
    wanted = [x, *neuron.parameters()]
    reference = multistep_reference(x, neuron.rate, neuron.dynamics, surrogate, neuron.beta)
    expected = torch.autograd.grad((reference * g).sum(), wanted, allow_unused=True, materialize_grads=True)
    spikes = advance(neuron, x, lengths)
    found = torch.autograd.grad((spikes * g).sum(), wanted, allow_unused=True, materialize_grads=True)
    assert torch.equal(spikes, reference) and torch.equal(spikes, neuron(x))
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('backend', [None, compute_reference])
@pytest.mark.parametrize('kind, reset, detach_reset, v_reset', VARIANTS[::3])
def test_the_gradient_of_the_state(kind, reset, detach_reset, v_reset, backend):
    """A loss on the last state and on potentials, through a first state that has a gradient."""
    neuron = make(kind, surrogate=ASY(0.7), reset=reset, detach_reset=detach_reset, v_reset=v_reset)
    q, x = (torch.randn(n, 2, 5, dtype=torch.float64, requires_grad=True) for n in (1, 4))
    wanted = [q, x, *neuron.parameters()]
    results = []
    for chosen in (backend, compute_reference):
        with use_backend(neuron, chosen) if chosen else recorded_potentials(neuron), recorded_potentials(neuron) as u:
            s, (end,) = neuron.advance(x, (q[0],))
        loss = (s * s.cumsum(0)).sum() + u[0][1].square().sum() + end.sin().sum()
        results.append((s, end, *torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('reset', ['hard', 'soft'])
def test_half_precision_to_the_bit(dtype, reset):
    neuron = PLIF(tau=1.7, reset=reset, v_reset=-0.1, detach_reset=False, surrogate=dict(type='ASY'))
    x = (2 * torch.randn(7, 3, 50)).to(dtype).requires_grad_()
    g = torch.randn_like(x)
    (expected,) = torch.autograd.grad(neuron(x), x, g)
    s = advance(neuron, x, [3, 2, 2])
    (found,) = torch.autograd.grad(s, x, g)
    assert torch.equal(s, neuron(x)) and torch.equal(found, expected)


def network(policy, seed=0, T=9):
    torch.manual_seed(seed)
    layers = [
        torch.nn.Linear(6, 40),
        LIF(T=T, decay_input=False),
        torch.nn.Linear(40, 30),
        PLIF(T=T, detach_reset=False),
    ]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(30, 4)).double()
    with torch.no_grad():
        model[2].weight *= 4
    attach(model, policy)
    return model


def in_chunks(model, x, lengths):
    """The output of a `Sequential` that goes through time in chunks, all layers of a chunk before the next chunk."""
    states, outputs = [None] * len(model), []
    for part in x.split(lengths):
        for i, layer in enumerate(model):
            if hasattr(layer, 'advance'):
                part, states[i] = layer.advance(part, states[i])
            else:
                part = layer(part)
        outputs.append(part)
    return torch.cat(outputs)


POLICIES = dict(
    a2sg=lambda: A2SG(beta_min=0.2),
    stasg=lambda: STASG(beta_min=0.2),
    tasg=lambda: TASG(beta_min=0.2),
    sasg=lambda: SASG(beta_min=0.2),
    sampled=lambda: A2SG(beta_min=0.2, sample=64),
    shared=lambda: A2SG(beta_min=0.2, steps_per_width=2),
    direct=lambda: A2SG(surrogate=dict(type='ATan'), candidates=8),
    tpe=lambda: A2SG(searcher=dict(type='TPESearcher', trials=8)),
    mpd_agl=MPDAGL,
    cpng=lambda: CPNG(target=0.3),
)


@pytest.mark.parametrize('lengths', [[9], [4, 5], [1, 2, 6], [1] * 9], ids=str)
@pytest.mark.parametrize('name', POLICIES)
def test_widths_gradients_and_statistics_of_a_search(name, lengths):
    policies = [POLICIES[name]() for _ in range(2)]
    models = [network(policy) for policy in policies]
    x = 2 * torch.randn(9, 12, 6, dtype=torch.float64)
    for iteration in range(2):
        for model, policy in zip(models, policies):
            policy.begin(iteration, observe=True)
            model.zero_grad()
            y = model(x) if model is models[0] else in_chunks(model, x, lengths)
            (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        for whole, parts in zip(*(model.modules() for model in models)):
            if isinstance(whole, LIF | PLIF):
                assert torch.equal(whole.beta, parts.beta)
                expected, found = (policy.records[layer] for policy, layer in zip(policies, (whole, parts)))
                for key in expected:
                    torch.testing.assert_close(found[key], expected[key], rtol=1e-12, atol=1e-12)
        for a, b in zip(*(model.parameters() for model in models)):
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-10, atol=1e-13)
    assert len(models[1][1].beta.unique()) > 1 or name in ('sasg', 'cpng', 'direct')
    assert (models[1][1].beta != policies[1].surrogate.beta).any()


@pytest.mark.parametrize('k', [1, 2])
@pytest.mark.parametrize('steps', [[0, 1, 2], [8], [4]], ids=str)
def test_a_loss_on_some_time_steps(steps, k):
    """Chunks that the loss does not depend on keep their widths, as they do in one call."""
    policies = [A2SG(beta_min=0.2, steps_per_width=k) for _ in range(2)]
    whole, parts = (network(policy) for policy in policies)
    x = 2 * torch.randn(9, 12, 6, dtype=torch.float64)
    for model, policy in zip((whole, parts), policies):
        for layer in policy.layers:
            layer.set_widths(torch.linspace(0.5, 1, 9, dtype=torch.float64))
        policy.begin(0)
        y = model(x) if model is whole else in_chunks(model, x, [3, 3, 3])
        y[steps].square().sum().backward()
    assert torch.equal(whole[1].beta, parts[1].beta) and torch.equal(whole[3].beta, parts[3].beta)
    torch.testing.assert_close(parts[0].weight.grad, whole[0].weight.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize('bad', [0, 5, 8])
def test_a_gradient_that_is_not_finite_changes_no_width(bad):
    neuron = LIF(T=9, decay_input=False).double()
    policy = under_search(neuron)
    before = neuron.beta.clone()
    g = torch.randn(9, 4, 50, dtype=torch.float64)
    g[bad, 0, 0] = torch.nan
    advance(neuron, torch.randn_like(g).requires_grad_(), [3, 3, 3]).backward(g)
    assert torch.equal(neuron.beta, before)
    policy.begin(1)
    advance(neuron, torch.randn_like(g).requires_grad_(), [3, 3, 3]).backward(g.nan_to_num())
    assert (neuron.beta != before).all()


def test_a_neuron_that_does_not_know_its_time_steps_learns_them():
    neuron = LIF(decay_input=False)
    under_search(neuron)
    advance(neuron, torch.randn(7, 4, 50).requires_grad_(), [3, 4]).sum().backward()
    assert neuron.beta.shape == (7,)


def test_potentials_and_gradients_are_recorded_over_the_whole():
    neuron = LIF(T=6, decay_input=False).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64).requires_grad_()
    seen = []
    for cut in ([6], [2, 3, 1]):
        with recorded_gradients(neuron, lambda *args: seen.append(args)), recorded_potentials(neuron) as potentials:
            s = advance(neuron, x, cut)
        (s * s.cumsum(0)).sum().backward()
        assert len(potentials) == len(cut) and torch.equal(
            torch.cat([u for _, u in potentials]).flatten(1), seen[-1][1]
        )
    assert len(seen) == 2
    for a, b in zip(*seen):
        assert a == b if isinstance(a, str) else torch.equal(a, b)


def test_detach_ends_the_backward_pass_and_begins_another_search():
    """Truncated backpropagation: each segment is searched as a sequence that ends with it."""
    neuron = LIF(T=6, decay_input=False).double()
    policy = under_search(neuron)
    x = torch.randn(6, 4, 30, dtype=torch.float64)
    g, state, searched = torch.randn_like(x), None, []
    for i, (part, cotangent) in enumerate(zip(x.split(3), g.split(3))):
        policy.begin(i)
        leaf = part.clone().requires_grad_()
        s, state = neuron.advance(leaf, None if state is None else state.detach())
        s.backward(cotangent)
        searched.append((neuron.beta[3 * i : 3 * i + 3].clone(), leaf.grad))
    assert state.steps == 6 and policy.searches == dict(spatial=2, temporal=4)
    # the second segment alone, as a sequence of three steps
    other = LIF(T=3, decay_input=False).double()
    under_search(other)
    _, before = neuron.advance(x[:3])
    leaf = x[3:].clone().requires_grad_()
    other.advance(leaf, NeuronState(before.detach(), 0))[0].backward(g[3:])
    assert torch.equal(other.beta, searched[1][0]) and torch.equal(leaf.grad, searched[1][1])


def test_nothing_is_kept_where_no_gradient_is_recorded():
    neuron = PLIF().double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        s, state = neuron.advance(x[:4])
        assert state.controller is None and not state[0].requires_grad
        assert torch.equal(torch.cat([s, neuron.advance(x[4:], state)[0]]), neuron(x))


def test_a_state_can_be_copied_and_stored():
    neuron, x = LIF(), torch.randn(6, 2, 3)
    _, state = neuron.advance(x[:4].requires_grad_())
    for twin in (copy.deepcopy(state.detach()), pickle.loads(pickle.dumps(state.detach()))):
        assert type(twin) is NeuronState and twin.steps == 4 and twin.controller is None
        assert torch.equal(twin[0], state[0])


def test_channels_last_stay_channels_last():
    x = torch.randn(4, 2, 3, 5, 5, dtype=torch.float64)
    last = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2]).requires_grad_()
    neuron = LIF().double()
    s, state = neuron.advance(last[:2])
    s, (q,) = neuron.advance(last[2:], state)
    assert s.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert q.is_contiguous(memory_format=torch.channels_last)
    (s * s.cumsum(0)).sum().backward()
    s, state = neuron.advance(x[:2].requires_grad_())
    assert torch.equal(neuron.advance(x[2:], state)[1][0], q)


WRONG = dict(
    shape=((torch.zeros(2, 4),), '4'),
    two=((torch.zeros(2, 3), torch.zeros(2, 3)), '3'),
    none=((), 'tuple'),
    number=((1.0,), 'float'),
    dtype=((torch.zeros(2, 3).double(),), 'float64'),
)


@pytest.mark.parametrize('name', WRONG)
def test_a_state_that_does_not_fit(name):
    state, named = WRONG[name]
    with pytest.raises(ConfigError, match=f'LIF.*{named}'):
        LIF().advance(torch.zeros(5, 2, 3), state)


def test_no_time_step_and_too_many():
    with pytest.raises(ConfigError, match=r'LIF.*\(0, 2, 3\)'):
        LIF().advance(torch.zeros(0, 2, 3))
    with pytest.raises(ValueError, match=r'LIF.*\(3,\)'):
        LIF().advance(torch.zeros(3))
    neuron = LIF(T=5)
    under_search(neuron)
    x = torch.randn(4, 2, 3).requires_grad_()
    _, state = neuron.advance(x)
    with pytest.raises(ConfigError, match='T = 5.*T = 8'):
        neuron.advance(x, state)
    with pytest.raises(ConfigError, match='state.detach'):
        neuron.advance(x[:1], tuple(state))
    neuron.eval()
    assert neuron.advance(x, state)[1].steps == 8


def test_a_backend_that_computes_whole_sequences_alone_is_refused():
    neuron = LIF()
    with use_backend(neuron, lambda neuron, x: x), pytest.raises(ConfigError, match='LIF'):
        neuron.advance(torch.zeros(2, 2, 3))
