"""The search against brute force: direct evaluation of the objective on full tensors."""

import copy
import math
import pickle
from functools import partial

import hyperopt
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from a2sg_zoo.adaptation import (
    A2SG,
    DirectObjective,
    ExactSearcher,
    MomentObjective,
    TPESearcher,
    attach,
    coefficient_of_variation,
    searchers,
    spatial_gradient_variation,
    temporal_gradient_consistency,
)
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF, LayerGradients, LocalGradient
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan, Gaussian
from tests.fake_gpu import fake_gpu

GRID = torch.linspace(0.1, 2.0, 128, dtype=torch.float64)
SHAPES = [ASY(h=0.5), ASY(h=1.0), TRI(), TRI(normalize='peak'), BOX(), BOX(normalize='peak')]


def local_gradient(n=4096, temporal=False, dtype=torch.float64, seed=0):
    r = np.random.default_rng(seed)
    draw = lambda loc, scale: torch.from_numpy(r.normal(loc, scale, n)).to(dtype)  # noqa: E731
    z = draw(0.3, 0.5) - 1
    g = draw(0.0, 1.0)
    if not temporal:
        return LocalGradient(z, g)
    d = draw(0.0, 0.3) + 0.4 * g * (z.abs() < 0.8)
    return LocalGradient(z, g, 0.5 * d * (z < 0), d)


def brute_force(surrogate, gradient, grid, scale_free=False):
    values = []
    for beta in grid:
        delta = gradient.g * surrogate(gradient.z, beta)
        if gradient.d is None:
            values.append((coefficient_of_variation if scale_free else spatial_gradient_variation)(delta))
        else:
            values.append(-temporal_gradient_consistency(delta + gradient.c, gradient.d))
    return torch.stack(values)


@pytest.mark.parametrize('temporal', [False, True])
@pytest.mark.parametrize('surrogate', SHAPES, ids=repr)
def test_moments_equal_direct_evaluation(surrogate, temporal):
    gradient = local_gradient(temporal=temporal)
    expected = brute_force(surrogate, gradient, GRID)
    for objective in (MomentObjective(surrogate, GRID, gradient), DirectObjective(surrogate, GRID, gradient)):
        torch.testing.assert_close(objective.curve(), expected, rtol=1e-9, atol=1e-11)
        assert objective.at(17) == pytest.approx(float(expected[17]), rel=1e-9)


def test_scale_free_objective_is_the_coefficient_of_variation():
    gradient = local_gradient()
    torch.testing.assert_close(
        MomentObjective(ASY(), GRID, gradient, scale_free=True).curve(),
        brute_force(ASY(), gradient, GRID, scale_free=True),
        rtol=1e-9,
        atol=1e-11,
    )


def test_single_precision_agrees_to_a_millionth():
    for temporal in (False, True):
        wide, narrow = (local_gradient(100_000, temporal, dtype) for dtype in (torch.float64, torch.float32))
        curve = MomentObjective(ASY(), GRID, narrow).curve()
        torch.testing.assert_close(curve, brute_force(ASY(), wide, GRID), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('temporal', [False, True])
@pytest.mark.parametrize('surrogate', [ASY(), TRI(normalize='peak'), BOX()], ids=repr)
@pytest.mark.parametrize('min_inside', [0.0, 0.1, 0.4, 0.99])
def test_a_window_must_hold_a_share_of_the_elements(surrogate, temporal, min_inside):
    """Or as large a share as the widest does."""
    gradient = local_gradient(temporal=temporal)
    share = torch.stack([(gradient.z.abs() <= beta).double().mean() for beta in GRID])
    counts = share >= min(min_inside, float(share[-1]))
    assert min_inside == 0 or not counts.all()
    expected = torch.where(counts, brute_force(surrogate, gradient, GRID), torch.inf)
    for objective in (MomentObjective, DirectObjective):
        curve = objective(surrogate, GRID, gradient, min_inside=min_inside).curve()
        torch.testing.assert_close(curve, expected, rtol=1e-9, atol=1e-11)
        assert ExactSearcher()(objective(surrogate, GRID, gradient, min_inside=min_inside), (0,))[1]


def test_asy_that_changes_sign_takes_the_direct_way():
    with pytest.warns(UserWarning, match='ASY.*0.2'):
        shape = ASY(h=0.2)
    gradient = local_gradient()
    torch.testing.assert_close(DirectObjective(shape, GRID, gradient).curve(), brute_force(shape, gradient, GRID))
    # the absolute value splits inside the window: moments would be wrong
    wrong = MomentObjective(shape, GRID, gradient).curve()
    assert not torch.allclose(wrong, brute_force(shape, gradient, GRID), rtol=1e-3)


@pytest.mark.parametrize('temporal', [False, True])
@pytest.mark.parametrize('surrogate', SHAPES[:4] + [ATan(), Gaussian()], ids=repr)
def test_exact_search_is_within_a_grid_step_of_a_fine_grid(surrogate, temporal):
    gradient = local_gradient(temporal=temporal)
    fine = torch.linspace(0.1, 2.0, 127 * 8 + 1, dtype=torch.float64)
    values = brute_force(surrogate, gradient, fine)
    objective = (MomentObjective if hasattr(surrogate, 'coefficients') else DirectObjective)(surrogate, GRID, gradient)
    index, found = ExactSearcher()(objective, (0,))
    assert found
    step = float(GRID[1] - GRID[0])
    near = (fine - fine[values.argmin()]).abs() <= step
    # the best of the coarse grid cannot be worse than the worst within one step of the true optimum
    assert float(objective.at(int(index))) <= float(values[near].max()) + 1e-12


def test_tpe_comes_close_and_is_reproducible():
    gaps = []
    for seed in range(20):
        gradient = local_gradient(seed=seed)
        objective = MomentObjective(ASY(), GRID, gradient)
        curve = objective.curve()
        index, found = TPESearcher(trials=16)(objective, (3, seed))
        again, _ = TPESearcher(trials=16)(objective, (3, seed))
        assert found and index == again
        gaps.append(float((curve[index] - curve.min()) / (curve.max() - curve.min())))
    assert np.median(gaps) < 0.02 and max(gaps) < 0.2


@pytest.mark.parametrize('trials, startup', [(16, 6), (30, 1), (4, 6)])
@pytest.mark.parametrize('seed', range(6))
def test_tpe_tries_what_hyperopt_would(trials, startup, seed):
    curve = torch.rand(len(GRID), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    curve[::7], curve[1::7] = curve[3], torch.inf  # ties, and windows without a value
    ours, theirs = [], []

    class Objective:
        grid, allowed = GRID, None

        def at(self, index):
            ours.append(index)
            return float(curve[index])

    def evaluate(beta):
        theirs.append(int(np.abs(GRID.numpy() - beta).argmin()))
        return float(curve[theirs[-1]])

    index, _ = TPESearcher(trials, startup)(Objective(), (3, seed))
    hyperopt.fmin(
        evaluate,
        hyperopt.hp.uniform('beta', float(GRID[0]), float(GRID[-1])),
        partial(hyperopt.tpe.suggest, n_startup_jobs=startup, verbose=False),
        trials,
        rstate=np.random.default_rng((3, seed)),
        verbose=False,
        show_progressbar=False,
    )
    assert ours == list(dict.fromkeys(theirs)) and curve[index] == curve[theirs].min()


@pytest.mark.parametrize('searcher', [ExactSearcher(), TPESearcher(trials=4)], ids=repr)
@pytest.mark.parametrize('kind', ['outside', 'no gradient', 'nan', 'inf'])
def test_nothing_to_go_by(searcher, kind):
    for temporal in (False, True):
        gradient = local_gradient(temporal=temporal)
        if kind == 'outside':
            gradient = gradient._replace(z=gradient.z + 50)
        elif kind == 'no gradient':
            gradient = gradient._replace(g=torch.zeros_like(gradient.g))
        else:
            gradient.g[7] = math.nan if kind == 'nan' else math.inf
        for objective in (MomentObjective, DirectObjective):
            _, found = searcher(objective(ASY(), GRID, gradient), (0,))
            assert not found


def test_an_exact_search_reads_nothing_on_the_host():
    """Nor does it copy anything to the device, but the grid, once: either would wait for the device."""

    def choose(policy):
        neuron = LIF()
        neuron.beta = torch.ones(1, device='cuda')
        attach(neuron, policy)
        policy.begin(0, observe=True)
        u, g = (torch.randn(3, 64, device='cuda') for _ in range(2))
        beta = policy.controller(neuron).choose(LayerGradients(u, g, None, 0.5, neuron.dynamics))
        policy.observe(neuron, u, g)
        assert beta.shape == (3,) and beta.device.type == 'cuda'

    with fake_gpu() as crossings:
        for surrogate in SHAPES[:4]:
            policy = A2SG(surrogate, searcher=ExactSearcher(), sample=None)
            choose(policy)
            assert len(crossings) == 1
            choose(policy)
            assert len(crossings) == 1
            crossings.clear()
        with pytest.raises(DataDependentOutputException):
            choose(A2SG(searcher=Reading(), sample=None))


class Reading(ExactSearcher):
    def __call__(self, objective, seed):
        index, found = super().__call__(objective, seed)
        return index, found & bool(found)


def test_tpe_copies_nothing_to_the_device():
    class Objective:
        allowed = None

        def at(self, index):
            return abs(index - 40)

    search, objective, grid = TPESearcher(trials=8), Objective(), GRID.numpy()
    with fake_gpu() as crossings:
        objective.grid = torch.empty(len(GRID), device='cuda')
        searchers._on_host[objective.grid] = grid
        index, found = search(objective, [0])
    assert crossings == [] and index.device == found.device == objective.grid.device
    assert index.dtype == torch.int64 and found.dtype == torch.bool


def test_tpe_copies_one_curve_to_the_host(monkeypatch):
    copied = []
    monkeypatch.setattr(torch.Tensor, 'cpu', lambda x: copied.append(x.numel()) or x)
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda x: copied.append(x.numel()) or x.numpy().tolist())
    search, grid = TPESearcher(trials=8), GRID.clone()
    for _ in range(3):
        search(MomentObjective(ASY(), grid, local_gradient()), [0])
    assert copied == [len(GRID)] * 4  # the grid itself, once


@pytest.mark.parametrize('first, last', [(5, 11), (100, 127), (64, 64)])
def test_tpe_looks_among_the_allowed_candidates(first, last):
    allowed = torch.zeros(len(GRID), dtype=torch.bool)
    allowed[first : last + 1] = True
    objective = MomentObjective(ASY(), GRID, local_gradient(), allowed=allowed)
    seen = []
    evaluate, objective.at = objective.at, lambda index: seen.append(index) or evaluate(index)
    for seed in range(10):
        index, found = TPESearcher()(objective, [seed])
        assert found and first <= index <= last
    assert {first, last} >= {*seen} if first == last else first <= min(seen) < max(seen) <= last


def test_a_network_under_tpe_is_copied_and_pickled():
    network = torch.nn.Sequential(torch.nn.Linear(3, 20), LIF(T=2), torch.nn.Linear(20, 2))
    policy = A2SG(searcher=TPESearcher(trials=8), min_inside=0)
    attach(network, policy)
    for iteration in range(2):
        policy.begin(iteration)
        network(torch.randn(2, 8, 3)).square().mean().backward()
        for other in copy.deepcopy(network), pickle.loads(pickle.dumps(network)):
            assert torch.equal(other[1].beta, network[1].beta) and other[1].policy is None
        for searcher in copy.deepcopy(policy.searcher), pickle.loads(pickle.dumps(policy.searcher)):
            assert searcher.trials == 8
    assert (network[1].beta != policy.surrogate.beta).any()


@pytest.mark.parametrize('k, searched', [(1, range(7)), (2, [1, 3, 5, 6]), (3, [2, 5, 6]), (50, [6])])
def test_neighbouring_time_steps_share_a_width(k, searched):
    """Where a width is searched, the candidates are compared under the widths of the time steps that follow."""
    T, generator = 7, torch.Generator().manual_seed(0)
    u, g = (torch.randn(T, 500, generator=generator, dtype=torch.float64) for _ in range(2))
    neuron = LIF(T=T, decay_input=False).double()
    policy = A2SG(steps_per_width=k, min_inside=0, beta_min=0.2)
    policy.adopt(neuron)
    neuron.policy, neuron.order = policy, 0
    policy.begin(0)
    gradients = LayerGradients(u + 0.7, g, None, 0.5, neuron.dynamics)
    beta = policy.controller(neuron).choose(gradients)
    assert policy.searches == dict(spatial=1, temporal=len(searched) - 1)
    assert all(beta[t] == beta[t + 1] for t in range(T - 1) if t not in searched)
    # plain evaluation of each candidate, one time step after the other
    delta = {}
    grid, best = policy.grid, 0
    for t in reversed(range(T)):
        z, c = u[t] + 0.7 - 1, 0.0
        if t < T - 1:
            c = 0.5 * delta[t + 1] * (z < 0)
        deltas = [g[t] * policy.surrogate(z, width) + c for width in grid]
        if t == T - 1:
            values = [d.var(correction=0) / d.abs().mean() for d in deltas]
        elif t in searched:
            values = [-torch.cosine_similarity(d, delta[t + 1], 0) for d in deltas]
        best = int(torch.stack(values).argmin()) if t in searched else best
        assert beta[t] == grid[best]
        delta[t] = deltas[best]


def test_a_wrong_number_of_time_steps_that_share_a_width():
    with pytest.raises(ConfigError, match='steps_per_width'):
        A2SG(steps_per_width=0)
