"""Readings of the paper that are options of the search: the own part, the memory, the trust region, the gain."""

import copy

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import (
    A2SG,
    CPNG,
    STASG,
    TASG,
    DirectObjective,
    MomentObjective,
    attach,
    detach,
    temporal_gradient_consistency,
)
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import ALIF, LIF
from a2sg_zoo.surrogates import ASY, TRI, Sigmoid, UnitNorm
from tests.adaptation.test_search import GRID, local_gradient

CANDIDATES = 40


class Leaky(TRI):
    """The triangle on top of a small gradient everywhere."""

    def __call__(self, z, beta):
        return super().__call__(z, beta) + 0.3


def network(policy, T=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), LIF(T=T, detach_reset=True), nn.Linear(40, 5)).double()
    attach(model, policy)
    return model


def step(model, policy, iteration, scale=1.0):
    """One backward pass; returns the local gradients that the policy looked at, the last time step first."""
    generator = torch.Generator().manual_seed(iteration)
    x = 3 * torch.randn(3, 16, 6, generator=generator, dtype=torch.float64)
    seen = []
    width = policy.width

    def noting(neuron, t, gradient, later):
        seen.append(gradient)
        return width(neuron, t, gradient, later)

    policy.width = noting
    policy.begin(iteration)
    (scale * model(x).square().mean()).backward()
    del policy.width
    return seen


@pytest.mark.parametrize('surrogate', [ASY(), TRI(normalize='peak')], ids=repr)
def test_own_part_leaves_out_what_comes_through_time(surrogate):
    gradient = local_gradient(temporal=True)
    expected = torch.stack(
        [-temporal_gradient_consistency(gradient.g * surrogate(gradient.z, beta), gradient.d) for beta in GRID]
    )
    for objective in (MomentObjective, DirectObjective):
        curve = objective(surrogate, GRID, gradient._replace(c=None)).curve()
        torch.testing.assert_close(curve, expected, rtol=1e-9, atol=1e-11)
        assert not torch.allclose(curve, objective(surrogate, GRID, gradient).curve(), rtol=1e-3)


@pytest.mark.parametrize('temporal_part', ['delta', 'own'])
def test_widths_are_the_best_of_their_objective(temporal_part):
    policy = STASG(candidates=CANDIDATES, temporal_part=temporal_part, min_inside=0.0)
    model = network(policy)
    last, *earlier = step(model, policy, 0)
    grid, shape = policy.grid, policy.surrogate
    widths = model[1].beta
    for t, gradient in zip((1, 0), earlier):
        c = gradient.c if temporal_part == 'delta' else 0
        values = torch.stack(
            [temporal_gradient_consistency(gradient.g * shape(gradient.z, b) + c, gradient.d) for b in grid]
        )
        assert float(widths[t]) == pytest.approx(float(grid[values.argmax()]), rel=1e-6)


def test_memory_is_a_running_mean_of_the_sums():
    memory = 0.7
    policy = A2SG(candidates=CANDIDATES, memory=memory, min_inside=0.0)
    model = network(policy)
    mean = [0, 0, 0]
    for iteration in range(4):
        seen = step(model, policy, iteration, scale=2.0**iteration)
        for t, gradient in zip((2, 1, 0), seen):
            new = MomentObjective(policy.surrogate, policy.grid, gradient).moments
            mean[t] = memory * mean[t] + (1 - memory) * new
            objective = MomentObjective(policy.surrogate, policy.grid, gradient)
            objective.moments = mean[t]
            expected = float(policy.grid[objective.curve().argmin()])
            assert float(model[1].beta[t]) == pytest.approx(expected, rel=1e-6)


def test_memory_is_state_and_survives_a_bad_gradient():
    policy = A2SG(candidates=CANDIDATES, memory=0.9)
    model = network(policy)
    step(model, policy, 0)
    state = copy.deepcopy(model.state_dict())
    step(model, policy, 1, scale=float('nan'))
    assert all(state[name].equal(value) for name, value in model.state_dict().items())
    step(model, policy, 2)
    expected = model[1].beta.clone()
    another = A2SG(candidates=CANDIDATES, memory=0.9)
    resumed = network(another)
    resumed.load_state_dict(state)
    step(resumed, another, 2)
    assert resumed[1].beta.equal(expected)
    fresh = network(third := A2SG(candidates=CANDIDATES, memory=0.9))
    step(fresh, third, 2)
    assert not fresh[1].policy_moments.allclose(resumed[1].policy_moments)


@pytest.mark.parametrize('neuron', [LIF, ALIF])
def test_memory_does_not_change_where_one_time_step_is_not_finite(neuron):
    policy = A2SG(candidates=CANDIDATES, memory=0.9)
    layer = attach(neuron(T=3), policy)['']
    x, g = torch.randn(2, 3, 8, 5).requires_grad_()
    before = []
    for iteration in range(2):
        policy.begin(iteration)
        layer(x).backward(g.detach())
        before.append(layer.policy_moments.clone())
        g.data[0, 0, 0] = torch.inf  # the last time step that a search looks at
    assert before[0].any(1).all() and torch.equal(*before)
    policy.begin(2)
    first, state = layer.advance(x[:2])
    last, _ = layer.advance(x[2:], state)
    torch.cat([first, last]).backward(g.detach())
    assert layer.policy_moments.equal(before[0])


@pytest.mark.parametrize(
    'options',
    [
        dict(candidates=CANDIDATES // 2),
        dict(candidates=2 * CANDIDATES),
        dict(beta_max=1.5),
        dict(surrogate=TRI(normalize='peak')),
        dict(temporal_part='own'),
    ],
    ids=str,
)
def test_memory_of_another_search_space_or_shape_is_left_out(options):
    other = network(before := A2SG(candidates=CANDIDATES, memory=0.9))
    step(other, before, 0)
    results = []
    for weights in (None, other.state_dict()):
        model = network(policy := A2SG(**{**dict(candidates=CANDIDATES, memory=0.9), **options}))
        if weights is not None:
            model.load_state_dict(weights)
        model[1].set_widths(1.0)
        step(model, policy, 1)
        results.append((model[1].beta, model[1].policy_moments[:, :200]))  # what follows may be unused
    assert all(map(torch.equal, *results))


def test_memory_without_a_search_at_the_last_step():
    policy = TASG(memory=0.5)
    neuron = LIF()  # does not know its number of time steps
    attach(nn.Sequential(neuron), policy)
    policy.begin(0)
    neuron(torch.randn(3, 8, 5, requires_grad=True)).sum().backward()
    assert len(neuron.policy_moments) == 2 and neuron.policy_moments.any(1).all()


def test_memory_of_a_chunk_whose_followers_have_no_gradient():
    policy = A2SG(memory=0.5)
    neuron = LIF()
    attach(nn.Sequential(neuron), policy)
    policy.begin(0)
    x = torch.randn(6, 8, 5, requires_grad=True)
    first, state = neuron.advance(x[:3])
    neuron.advance(x[3:], state)
    first.sum().backward()
    assert len(neuron.policy_moments) == 3 and x.grad[:3].abs().sum() > 0


def test_memory_of_another_number_of_time_steps_loads():
    state = network(A2SG(memory=0.5), T=2).state_dict()
    model = network(A2SG(memory=0.5), T=3)
    model.load_state_dict(state)
    assert model[1].policy_moments.shape[0] == 2
    network(A2SG(), T=2).load_state_dict(state)


def test_a_shape_is_searched_as_it_is_called():
    policy = A2SG(Leaky(normalize='peak'), candidates=CANDIDATES, min_inside=0.0)
    model = network(policy)
    gradient = step(model, policy, 0)[0]
    curve = DirectObjective(policy.surrogate, policy.grid, gradient).curve()
    assert float(model[1].beta[-1]) == pytest.approx(float(policy.grid[curve.argmin()]))
    assert curve.argmin() != MomentObjective(policy.surrogate, policy.grid, gradient).curve().argmin()


@pytest.mark.parametrize('trust', [1.0, 1.2, 3.0])
def test_trust_limits_the_change_of_a_width(trust):
    free, limited = STASG(candidates=CANDIDATES), STASG(candidates=CANDIDATES, trust=trust)
    models = network(free), network(limited)
    more = float(limited.grid[1] - limited.grid[0]) / 2 + 1e-6
    for iteration in range(3):
        before = models[1][1].beta.clone()
        step(models[0], free, iteration)
        step(models[1], limited, iteration)
        after = models[1][1].beta
        assert (after <= before * trust + more).all() and (after >= before / trust - more).all()
    assert (models[0][1].beta - 1).abs().max() > 0.2


@pytest.mark.parametrize('shape', [ASY(h=0.5), ASY(h=0.8), TRI(), TRI(normalize='peak')], ids=repr)
@pytest.mark.parametrize('beta', [0.3, 1.7])
def test_norm_is_that_of_a_numerical_integral(shape, beta):
    z = torch.linspace(-3, 3, 600_001, dtype=torch.float64)
    numeric = torch.trapezoid(shape(z, beta).square(), z).sqrt()
    assert shape.norm(beta) == pytest.approx(float(numeric), rel=1e-4)
    assert UnitNorm(shape).norm(beta) == pytest.approx(1)
    assert A2SG(shape, gain='norm').surrogate.norm(beta) == pytest.approx(1)


@pytest.mark.parametrize(
    'arguments, named',
    [
        (dict(temporal_part='carry'), 'temporal_part'),
        (dict(memory=1.0), 'memory'),
        (dict(memory=-0.1), 'memory'),
        (dict(memory=0.5, surrogate=Sigmoid()), 'memory'),
        (dict(trust=0.9), 'trust'),
        (dict(gain='peak'), 'gain'),
        (dict(gain='area', surrogate=Sigmoid()), 'gain'),
        (dict(gain='area', surrogate=Leaky()), 'gain'),
        (dict(memory=0.5, surrogate=Leaky()), 'memory'),
        (dict(objective='tgc'), 'objective'),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        STASG(**arguments)


@pytest.mark.parametrize('policy', [A2SG(candidates=CANDIDATES, memory=0.5), CPNG()], ids=['memory', 'CPNG'])
def test_what_a_policy_keeps_is_optional_and_goes_with_the_policy(policy):
    model = network(A2SG())
    detach(model)
    plain = {name: x.clone() for name, x in model.state_dict().items()}
    attach(model, policy)
    assert len(model.state_dict()) > len(plain)
    model.load_state_dict(plain)  # strictly
    assert not any(x.any() for name, x in model.state_dict().items() if 'policy_' in name)
    detach(model)
    assert model.state_dict().keys() == plain.keys()
