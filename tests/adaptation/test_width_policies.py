"""LSG, CPNG, MPD-AGL and the evolving tanh: what defines each, and what all of them leave alone."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2sg_zoo.adaptation import CPNG, LSG, MPDAGL, EvolvingTanh, attach, detach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.checkpoint import load_into
from a2sg_zoo.neurons import ALIF, IF, LIF, PLIF, Dynamics, LayerGradients, multistep, recorded_potentials
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import BOX, TRI

from .baseline_networks import (
    Network,
    assert_eval_mode_does_nothing,
    assert_gradients_are_those_of_the_windows,
    network,
    step,
)

T = 4
POLICIES_AND_NEURONS = [
    (lambda: LSG(), PLIF),
    (lambda: LSG(dict(type='TRI')), PLIF),
    (lambda: MPDAGL(), LIF),
    (lambda: EvolvingTanh(), LIF),
]
IDS = ['LSG', 'LSG-TRI', 'MPDAGL', 'EvolvingTanh']


@pytest.fixture
def x():
    return torch.randn(T, 8, 6, dtype=torch.float64)


# all of them


@pytest.mark.parametrize('T', [1, 4])
@pytest.mark.parametrize('make, kind', POLICIES_AND_NEURONS, ids=IDS)
def test_gradients_are_those_of_the_chosen_windows(make, kind, T, x):
    assert_gradients_are_those_of_the_windows(make(), x[:T], kind, progress=0.3)


def test_gradients_under_cpng_are_those_of_the_window_before_its_update(x):
    policy = CPNG(target=0.3, momentum=0)
    model = network(policy)
    ours = step(model, policy, x)
    assert all(len(neuron.beta) == 1 and neuron.beta != 1 for neuron in (model.lif1, model.lif2))
    out = model.reference(x, [TRI(), TRI()], [1.0, 1.0])
    for a, b in zip(ours, torch.autograd.grad(out.square().mean(), list(model.parameters()))):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    'make, kind', [*POLICIES_AND_NEURONS, (lambda: CPNG(target=0.3), LIF), (CPNG, LIF)], ids=[*IDS, 'CPNG', 'CPNG-own']
)
class TestAll:
    def test_eval_mode_does_nothing(self, make, kind, x):
        assert_eval_mode_does_nothing(make(), x, kind)

    def test_half_precision(self, make, kind, x):
        policy = make()
        model = network(policy, kind).bfloat16()
        for iteration in range(3):
            policy.begin(iteration, progress=iteration / 3)
            model(x.bfloat16()).square().mean().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
        for neuron in (model.lif1, model.lif2):
            assert neuron.beta.dtype == torch.bfloat16 and (neuron.beta > 0).all() and neuron.beta.isfinite().all()

    def test_resumes_exactly(self, make, kind, x):
        """Three steps are two, a state dict, and a third: windows and gradients, bit for bit."""

        def train(model, policy, iterations):
            for i in iterations:
                policy.begin(i, seed=7, progress=i / 10)
                model(x * (1 + i)).square().mean().backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p -= 0.1 * p.grad
                        p.grad = None
            return model.state_dict()

        policy = make()
        model = network(policy, kind)
        train(model, policy, range(2))
        fresh = make()
        resumed = network(fresh, kind)
        resumed.load_state_dict(copy.deepcopy(model.state_dict()))
        one, two = train(model, policy, [2]), train(resumed, fresh, [2])
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    def test_bad_values_leave_finite_windows(self, make, kind, x):
        policy = make()
        model = network(policy, kind)
        step(model, policy, x)
        x = x.clone()
        x[1, 2, 3] = float('nan')
        policy.begin(1, progress=0.1)
        model(x).sum().backward()
        assert all(n.beta.isfinite().all() and (n.beta > 0).all() for n in (model.lif1, model.lif2))

    def test_checkpoint_loads_without_the_policy(self, make, kind, x):
        policy = make()
        model = network(policy, kind)
        step(model, policy, x)
        plain = Network(kind).double()
        plain.load_state_dict(model.state_dict())
        load_into(plain, model.state_dict(), 'file')
        load_into(network(make(), kind), Network(kind).double().state_dict(), 'file')
        assert all(torch.equal(a.beta, b.beta) for a, b in ((plain.lif1, model.lif1), (plain.lif2, model.lif2)))


@pytest.mark.parametrize(
    'config, error, named',
    [
        (dict(type='LSG', tau=0.5), ConfigError, 'LSG: tau .*0.5'),
        (dict(type='LSG', surrogate=dict(type='BOXX')), ConfigError, "'BOXX'.*'BOX'"),
        (dict(type='CPNG', surrogate=dict(type='ATan')), ConfigError, 'CPNG: surrogate ATan'),
        (dict(type='CPNG', target=1.0), ConfigError, 'CPNG: target .*1.0'),
        (dict(type='CPNG', target=-0.1), ValueError, 'CPNG: target .*-0.1'),
        (dict(type='CPNG', warm_up=0), ConfigError, 'CPNG: warm_up .*0'),
        (dict(type='CPNG', sample=1.5), ConfigError, 'CPNG: sample .*1.5'),
        (dict(type='CPNG', momentum=1), ConfigError, 'CPNG: momentum .*1'),
        (dict(type='MPDAGL', scale=0), ValueError, 'MPDAGL: scale .*0'),
        (dict(type='EvolvingTanh', K_min=3, K_max=2), ConfigError, 'K_min = 3 .*K_max = 2'),
        (dict(type='EvolvingTanh', K_min=0), ValueError, 'K .*0'),
    ],
)
def test_wrong_arguments_are_named(config, error, named):
    with pytest.raises(error, match=named):
        POLICIES.build(config)


# LSG


@pytest.mark.parametrize('decay_input', [True, False])
@pytest.mark.parametrize('tau', [1.2, 2.0, 5.0])
def test_lsg_spread_is_that_of_u(tau, decay_input):
    """Against simulation: u of a neuron that never fires, under noise of unit variance, long after the start."""
    policy, neuron = LSG(tau=2.0), PLIF(tau=tau, decay_input=decay_input)
    attach(neuron, policy)

    def spread(tau):
        noise, u = torch.randn(60, 200_000), 0
        for x in noise:
            u = u + (x - u) / tau if decay_input else u * (1 - 1 / tau) + x
        return float(u.std())

    assert policy.width_of_decay(neuron).item() == pytest.approx(spread(tau) / spread(2.0), rel=0.02)


@pytest.mark.parametrize('decay_input', [True, False])
def test_lsg_width_gradient_flows_through_the_decay(decay_input):
    policy, neuron = LSG(dict(type='BOX', beta=0.8), tau=2.0), PLIF(tau=3.0, decay_input=decay_input).double()
    attach(neuron, policy)
    width = policy.width_of_decay(neuron)
    (gradient,) = torch.autograd.grad(width, neuron.w)
    r = 1 / 3
    if decay_input:  # sqrt(r / (2 - r)): d log sigma / dr = 1 / (r (2 - r))
        slope, expected = 1 / (r * (2 - r)), 0.8 * math.sqrt((r / (2 - r)) / (0.5 / 1.5))
    else:  # (r (2 - r))^(-1/2): d log sigma / dr = -(1 - r) / (r (2 - r))
        slope, expected = -(1 - r) / (r * (2 - r)), 0.8 * math.sqrt((0.5 * 1.5) / (r * (2 - r)))
    assert width.item() == pytest.approx(expected)
    assert float(gradient) == pytest.approx(expected * slope * r * (1 - r))  # dr/dw = r (1 - r)


def test_lsg_starts_at_the_surrogates_width_and_follows_what_is_learned(x):
    policy = LSG(dict(type='BOX', beta=0.7), tau=2.0)
    model = network(policy, PLIF, decay_input=False)
    step(model, policy, x)
    assert model.lif1.beta.tolist() == [pytest.approx(0.7)] * T
    with torch.no_grad():
        for neuron in (model.lif1, model.lif2):
            neuron.w -= 0.1 * neuron.w.grad
    before = {n: n.w.item() for n in (model.lif1, model.lif2)}
    step(model, policy, x)
    for neuron, w in before.items():
        # a summed input: the slower the decay, the wider u
        assert w != 0 and (float(neuron.beta[0]) > 0.7) == (w < 0)


@pytest.mark.parametrize('decay_input', [True, False])
def test_lsg_starts_at_the_surrogates_width_whatever_the_time_constants(decay_input):
    policy, tau = LSG(dict(type='BOX', beta=0.7)), (1.5, 2.0, 10.0)
    neurons = torch.nn.ModuleList(PLIF(tau=x, decay_input=decay_input) for x in tau)
    attach(neurons, policy)
    assert [policy.width_of_decay(neuron).item() for neuron in neurons] == pytest.approx([0.7] * 3)
    neurons[1].w.data += 0.3  # by training, or from a checkpoint
    width = policy.width_of_decay(neurons[1])
    detach(neurons)
    fixed = LSG(dict(type='BOX', beta=0.7), tau=2.0)
    attach(neurons, fixed)
    assert width == fixed.width_of_decay(neurons[1]) != 0.7 and fixed.width_of_decay(neurons[2]) != 0.7


@pytest.mark.parametrize('kind', [IF, LIF])
def test_lsg_needs_a_trained_decay(kind):
    with pytest.raises(ConfigError, match=rf'lif1 \({kind.__name__}\).*PLIF'):
        attach(Network(kind), LSG())


# CPNG


def chi(u, neuron):
    return float(((u - neuron.v_threshold).abs() <= neuron.beta).double().mean())


def after(policy, neuron, u):
    """The end of a backward pass."""
    policy.controller(neuron).finish(u, None)


def drift(policy, steps, start=0, spread=lambda i: 0.5 * 1.01**i, neuron=None):
    """A layer whose potentials spread out, step by step; chi of each step, and of a window that stands still."""
    neuron = neuron or LIF(v_threshold=1.0)
    if neuron.policy is None:
        attach(neuron, policy)
    held, lost = [], []
    for i in range(start, steps):
        generator = torch.Generator().manual_seed(i)
        u = torch.randn(2, 4000, generator=generator) * spread(i) + 0.3
        held.append(chi(u, neuron))
        lost.append(float(((u - 1).abs() <= 1).double().mean()))
        policy.begin(i)
        after(policy, neuron, u)
    return held, lost, neuron


@pytest.mark.parametrize('surrogate', ['TRI', 'BOX'])
def test_cpng_holds_chi_where_a_fixed_window_loses_it(surrogate):
    held, lost, neuron = drift(CPNG(dict(type=surrogate), warm_up=10, momentum=0.5), 120)
    target = float(neuron.policy_target)
    assert target == pytest.approx(sum(lost[:10]) / 10, abs=1e-6)
    assert all(abs(share - target) < 0.03 for share in held[20:])
    assert lost[-1] < target - 0.25


@given(target=st.floats(0.05, 0.95))
def test_cpng_reaches_a_given_target(target):
    held, _, neuron = drift(CPNG(target=target, momentum=0.5), 30, spread=lambda i: 0.7)
    assert held[-1] == pytest.approx(target, abs=0.03) and not hasattr(neuron, 'policy_target')


def test_cpng_quantile_by_hand():
    neuron, policy = LIF(v_threshold=1.0), CPNG(target=0.25, momentum=0.75)
    attach(neuron, policy)
    policy.begin(0)
    after(policy, neuron, torch.tensor([[0.0, 1.1, 1.2, 3.0, 0.6]]))  # |z| = 1, .1, .2, 2, .4; quarter: .2
    assert float(neuron.beta) == pytest.approx(0.75 * 1 + 0.25 * 0.2)


def test_cpng_target_survives_a_resume_in_the_warm_up():
    whole = drift(CPNG(warm_up=10), 30)[2]
    part = drift(CPNG(warm_up=10), 5)[2]
    fresh, policy = LIF(v_threshold=1.0), CPNG(warm_up=10)
    attach(fresh, policy)
    fresh.load_state_dict(part.state_dict())
    resumed = drift(policy, 30, start=5, neuron=fresh)[2]
    assert torch.equal(resumed.policy_target, whole.policy_target) and torch.equal(resumed.beta, whole.beta)


@pytest.mark.parametrize('warm_up', [1, 10])
def test_cpng_keeps_the_window_in_an_empty_batch(warm_up):
    neuron = drift(CPNG(warm_up=warm_up), 5)[2]
    before = {name: x.clone() for name, x in neuron.state_dict().items()}
    after(neuron.policy, neuron, torch.zeros(2, 0))
    assert all(map(torch.equal, before.values(), neuron.state_dict().values()))


def test_cpng_moves_once_an_optimiser_step():
    policy, neuron = CPNG(target=0.5), LIF()
    attach(neuron, policy)
    policy.begin(0, micro_batch=1)
    assert policy.controller(neuron).finish is None
    policy.begin(0)
    after(policy, neuron, torch.randn(2, 100))
    assert float(neuron.beta) != 1


def test_cpng_sampling_is_reproducible_and_close():
    u = torch.randn(4, 30_000) * 0.6
    found = []
    for sample in (120_000, 20_000, 20_000):
        policy, neuron = CPNG(target=0.4, momentum=0, sample=sample), LIF()
        attach(neuron, policy)
        policy.begin(3, seed=5)
        after(policy, neuron, u)
        found.append(float(neuron.beta))
    assert found[1] == found[2] != found[0] and found[1] == pytest.approx(found[0], rel=0.03)


def test_cpng_leaves_a_layer_alone_that_no_width_helps():
    for policy, u in (
        (CPNG(target=0.3, momentum=0), torch.ones(2, 50)),  # all on the threshold
        (CPNG(warm_up=1, momentum=0), torch.full((2, 50), 9.0)),  # all far away: chi was 0
        (CPNG(target=0.3, momentum=0), torch.tensor([[1.0, float('inf')]])),
    ):
        neuron = LIF()
        attach(neuron, policy)
        for i in range(3):
            policy.begin(i)
            after(policy, neuron, u)
        assert float(neuron.beta) == 1


# MPD-AGL


def test_mpdagl_window_is_the_deviation_of_each_step(x):
    policy = MPDAGL(scale=1.5)
    model = network(policy)
    step(model, policy, x)
    with torch.no_grad():
        v, x1 = 0, 2 * model.fc1(x)
        for t in range(T):
            u = v + (x1[t] - v) / model.lif1.tau
            assert float(model.lif1.beta[t]) == pytest.approx(1.5 * float(u.std(correction=0)), rel=1e-6)
            v = u * (u < 1)
    assert len(model.lif2.beta.unique()) == T


def test_mpdagl_agrees_with_the_closed_form_of_a_batch_norm():
    """gamma v_threshold at t = 1, times sqrt(1 + decay^2) at t = 2, for a current that a batch norm of threshold-
    dependent weight gives, and a threshold out of reach."""
    gamma, v_threshold, decay = 0.8, 0.5, 0.5
    norm = torch.nn.BatchNorm1d(50)
    torch.nn.init.constant_(norm.weight, gamma * v_threshold)
    current = norm(3 * torch.randn(2 * 20_000, 50) + 1).detach().unflatten(0, (2, -1)).requires_grad_()
    neuron, policy = LIF(tau=2.0, decay_input=False), MPDAGL()
    attach(neuron, policy)
    dynamics = Dynamics(v_threshold=100.0, decay_input=False)
    multistep(current, 0.5, dynamics, policy.controller(neuron)).sum().backward()
    expected = [gamma * v_threshold, gamma * v_threshold * math.sqrt(1 + decay**2)]
    assert neuron.beta.tolist() == pytest.approx(expected, rel=0.01)


def test_mpdagl_takes_the_distances_to_moving_thresholds():
    neuron, policy = ALIF(T=4, b=5.0), MPDAGL()
    attach(neuron, policy)
    policy.begin(0)
    with recorded_potentials(neuron) as potentials:
        neuron((torch.randn(4, 50, 40) + 1).requires_grad_()).sum().backward()
    u = potentials[0][1]  # shifted by what the threshold has moved
    torch.testing.assert_close(neuron.beta, u.flatten(1).std(1, correction=0).detach())


def test_mpdagl_default_is_the_rectangle_of_area_1():
    policy = MPDAGL()
    z = torch.tensor([-0.5, -0.29, 0.0, 0.3, 0.4])
    assert isinstance(policy.surrogate, BOX)
    torch.testing.assert_close(policy.surrogate(z, 0.3), torch.tensor([0, 1, 1, 1, 0]) / 0.6)


@pytest.mark.parametrize('u', [torch.zeros(10), torch.full((10,), float('nan')), torch.tensor([0.0, float('inf')])])
def test_mpdagl_keeps_the_window_of_a_layer_without_spread(u):
    neuron, policy = LIF(), MPDAGL()
    attach(neuron, policy)
    neuron.beta = torch.tensor([0.4, 0.6])
    gradients = LayerGradients(u.expand(2, -1), torch.ones(2, len(u)), None, neuron.rate, neuron.dynamics)
    assert policy.controller(neuron).choose(gradients).tolist() == pytest.approx([0.4, 0.6])
    assert neuron.beta.tolist() == pytest.approx([0.4, 0.6])


# the evolving tanh


def test_evolving_tanh_grows_from_K_min_to_K_max(x):
    policy = EvolvingTanh()
    model = network(policy)
    for progress, K in ((0.0, 1.0), (0.5, ((math.sqrt(10) - 1) * 10 + (10 - math.sqrt(10))) / 9), (1.0, 10.0)):
        step(model, policy, x, progress=progress)
        assert model.lif1.beta.tolist() == model.lif2.beta.tolist() == [pytest.approx(1 / K)] * T
    assert K == 10


@given(p=st.floats(0, 1), q=st.floats(0, 1))
def test_evolving_tanh_is_monotonic(p, q):
    policy = EvolvingTanh(K_min=0.5, K_max=4.0)
    K = []
    for progress in sorted((p, q)):
        policy.begin(0, progress=progress)
        K.append(policy.K)
    assert 0.5 - 1e-12 <= K[0] <= K[1] <= 4.0 + 1e-12
