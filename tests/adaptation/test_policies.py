"""Policies in the backward pass: what they choose, what they leave alone."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.adaptation import (
    A2SG,
    SASG,
    STASG,
    TASG,
    ExactSearcher,
    Fixed,
    PolicyController,
    attach,
    spatial_gradient_variation,
    temporal_gradient_consistency,
)
from a2sg_zoo.adaptation.base import generator
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF, multistep_reference, named_neurons
from a2sg_zoo.surrogates import ASY

T = 4
EXACT = dict(type='ExactSearcher')


class Network(nn.Module):
    """Two layers of neurons behind linear maps: (T, B, 6) to (T, B, 5)."""

    def __init__(self, **neuron):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 40), LIF(**neuron)
        self.fc2, self.lif2 = nn.Linear(40, 30), LIF(v_threshold=0.5, **neuron)
        self.readout = nn.Linear(30, 5)

    def forward(self, x):
        return self.readout(self.lif2(self.fc2(self.lif1(2 * self.fc1(x)))))


def network(policy, **neuron):
    torch.manual_seed(1)
    model = Network(**neuron).double()
    attach(model, policy)
    return model


def step(model, policy, x, **begin):
    policy.begin(**{'iteration': 0, **begin})
    model.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    return loss


@pytest.fixture
def x():
    return torch.randn(T, 8, 6, dtype=torch.float64)


def betas(model):
    return {name: neuron.beta.clone() for name, neuron in named_neurons(model).items()}


@pytest.mark.parametrize('detach_reset', [True, False])
@pytest.mark.parametrize('reset', ['hard', 'soft'])
@pytest.mark.parametrize('gain', ['shape', 'area'])
@pytest.mark.parametrize('policy', [SASG, TASG, STASG, A2SG])
def test_gradients_are_those_of_the_chosen_windows(policy, gain, reset, detach_reset, x):
    policy = policy(searcher=EXACT, sample=None, gain=gain)
    model = network(policy, reset=reset, detach_reset=detach_reset)
    step(model, policy, x)
    weights = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    s = x
    for fc, lif in ((model.fc1, model.lif1), (model.fc2, model.lif2)):
        current = fc(s) * (2 if fc is model.fc1 else 1)
        s = multistep_reference(current, lif.rate, lif.dynamics, lif.surrogate, lif.beta)
    model.readout(s).square().mean().backward()
    for ours, p in zip(weights, model.parameters()):
        torch.testing.assert_close(ours, p.grad, rtol=1e-12, atol=1e-15)


def last_layer_objectives(model, x, beta):
    """SGV and TGC of the last layer under windows `beta`, by plain autograd on the membrane potential."""
    with torch.no_grad():
        current = model.fc2(model.lif1(2 * model.fc1(x)))
    current.requires_grad_()
    s = multistep_reference(current, model.lif2.rate, model.lif2.dynamics, model.lif2.surrogate, beta)
    (grad,) = torch.autograd.grad(model.readout(s).square().mean(), current)
    delta = grad * model.lif2.tau  # dL/dx = dL/du / tau
    return spatial_gradient_variation(delta[-1]), temporal_gradient_consistency(delta[-2], delta[-1])


@pytest.mark.parametrize('gain', ['shape', 'area'])
@pytest.mark.parametrize('policy', [STASG, A2SG])
def test_choices_are_the_best_of_the_grid(policy, gain, x):
    policy = policy(searcher=EXACT, sample=None, candidates=40, gain=gain, min_inside=0)
    model = network(policy)
    step(model, policy, x)
    grid = policy.grid * model.lif2.v_threshold
    beta = model.lif2.beta.clone()
    model.lif2.surrogate = policy.searched  # SGV is that of the shape as it is
    sgv = torch.stack([last_layer_objectives(model, x, torch.cat([beta[:-1], b[None]]))[0] for b in grid])
    model.lif2.surrogate = policy.surrogate
    assert beta[-1] == grid[sgv.nan_to_num(torch.inf).argmin()]
    tgc = torch.stack([last_layer_objectives(model, x, torch.stack([beta[0], beta[1], b, beta[3]]))[1] for b in grid])
    best, chosen = tgc.nan_to_num(-2).max(), tgc[(grid == beta[2]).nonzero().item()]
    torch.testing.assert_close(chosen, best)


def test_spatial_alone_uses_one_window_and_temporal_alone_keeps_the_last(x):
    for policy, check in (
        (SASG(searcher=EXACT), lambda b: (b == b[-1]).all()),
        (TASG(searcher=EXACT), lambda b: b[-1] == 1.0 and (b[:-1] != 1.0).any()),
    ):
        model = network(policy)
        step(model, policy, x)
        assert all(len(beta) == T and check(beta) for beta in betas(model).values())


def test_search_space_is_in_units_of_the_threshold(x):
    policy = A2SG(searcher=EXACT, beta_min=0.4, beta_max=0.6)
    model = network(policy)
    step(model, policy, x)
    assert ((model.lif1.beta >= 0.4) & (model.lif1.beta <= 0.6)).all()
    assert ((model.lif2.beta >= 0.2) & (model.lif2.beta <= 0.3)).all()


def test_holds_between_searches_and_over_micro_batches(x):
    policy = A2SG(searcher=EXACT, interval=3)
    model = network(policy)
    step(model, policy, x, iteration=3)
    found = betas(model)
    for begin in (dict(iteration=4), dict(iteration=5), dict(iteration=6, micro_batch=1)):
        step(model, policy, x.flip(1) * 3, **begin)
        assert all((beta == found[name]).all() for name, beta in betas(model).items())
    step(model, policy, x.flip(1) * 3, iteration=6)
    assert any((beta != found[name]).any() for name, beta in betas(model).items())


def test_nothing_happens_in_eval_mode_and_without_gradients(x):
    policy = A2SG(searcher=EXACT)
    model = network(policy)
    policy.begin(0, observe=True)
    model.eval()
    model(x).sum().backward()
    model.train()
    with torch.no_grad():
        model(x)
    assert not policy.records and all((b == 1).all() and len(b) == 1 for b in betas(model).values())


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_bad_gradients_leave_windows_alone(bad, x):
    policy = A2SG(searcher=EXACT, sample=16)
    model = network(policy)
    step(model, policy, x)
    found = betas(model)
    policy.begin(1)
    out = model(2 * x)
    cotangent = torch.ones_like(out)
    cotangent[2, 3, 1] = bad
    out.backward(cotangent)
    assert (model.lif2.beta[2] == found['lif2'][2]).all()
    assert not any(beta.isnan().any() for beta in betas(model).values())


def test_loss_scaling_does_not_move_the_choice(x):
    chosen = []
    for scale in (1.0, 65536.0):
        policy = A2SG(searcher=EXACT)
        model = network(policy)
        policy.begin(0)
        (model(x).square().mean() * scale).backward()
        chosen.append(betas(model))
    assert all((chosen[0][name] == chosen[1][name]).all() for name in chosen[0])


def test_one_time_step_is_spatial_only(x):
    policy = A2SG(searcher=EXACT)
    model = network(policy)
    step(model, policy, x[:1])
    assert policy.searches == dict(spatial=2, temporal=0)


@pytest.mark.parametrize('reentrant', [True, False])
def test_activation_checkpointing_searches_once(reentrant, x):
    plain, recomputed = (A2SG(searcher=EXACT) for _ in range(2))
    expected = network(plain)
    step(expected, plain, x)
    model = network(recomputed)
    recomputed.begin(0)
    x = x.clone().requires_grad_()
    checkpoint(model, x, use_reentrant=reentrant).square().mean().backward()
    assert recomputed.searches == plain.searches
    assert all((beta == betas(expected)[name]).all() for name, beta in betas(model).items())
    for a, b in zip(model.parameters(), expected.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


def test_windows_are_state(x):
    policy = A2SG(searcher=EXACT)
    model = network(policy)
    step(model, policy, x)
    fresh = network(A2SG(searcher=EXACT))
    fresh.load_state_dict(model.state_dict())
    assert all((beta == betas(model)[name]).all() and len(beta) == T for name, beta in betas(fresh).items())
    plain = Network().double()
    plain.load_state_dict(model.state_dict())  # no policy, no hook
    plain.train()
    with pytest.raises(ConfigError, match='T = 4.*T = 2'):
        plain(x[:2])
    plain.eval()(x[:2])


def test_sampling_is_reproducible_and_close(x):
    x = x.repeat(1, 64, 1)
    chosen = []
    for sample in (None, 4096, 4096):
        policy = A2SG(searcher=EXACT, sample=sample)
        model = network(policy)
        step(model, policy, x, seed=5)
        chosen.append(betas(model))
    assert all((chosen[1][n] == chosen[2][n]).all() for n in chosen[0])
    assert all((chosen[0][n] - chosen[1][n]).abs().max() < 0.5 for n in chosen[0])


def test_observes_what_it_should(x):
    policy = Fixed()
    model = network(policy)
    step(model, policy, x, observe=True)
    sgv, tgc = last_layer_objectives(model, x, model.lif2.beta)
    record = policy.records[model.lif2]
    torch.testing.assert_close(record['sgv'], sgv)
    torch.testing.assert_close(record['tgc'][-1], tgc)
    assert record['beta'].shape == record['cv'].shape == (T,)
    with torch.no_grad():
        rate = model.lif2(model.fc2(model.lif1(2 * model.fc1(x)))).mean()
    assert float(record['rate']) == pytest.approx(float(rate))


def test_half_precision(x):
    policy = A2SG(searcher=EXACT)
    model = network(policy).bfloat16()
    policy.begin(0)
    model(x.bfloat16()).square().mean().backward()
    assert all(b.isfinite().all() for b in betas(model).values())


@pytest.mark.parametrize(
    'arguments, named',
    [
        (dict(beta_min=1.0, beta_max=0.5), ['beta_min', '1.0', 'beta_max', '0.5']),
        (dict(beta_min=1.0, beta_max=1.0), ['beta_min', 'beta_max']),
        (dict(interval=0), ['interval', '0']),
        (dict(candidates=1), ['candidates', '1']),
        (dict(objective='sgd'), ['objective', "'sgd'", "'sgv'", "'cv'"]),
        (dict(gain='volume'), ['gain', "'volume'", "'area'"]),
        (dict(min_inside=1.0), ['min_inside', '1.0']),
        (dict(min_inside=True), ['min_inside', 'True']),
        (dict(searcher=dict(type='ExactSearch')), ["'ExactSearch'", "'ExactSearcher'"]),
        (dict(surrogate=dict(type='AYS')), ["'AYS'", "'ASY'"]),
        (dict(searcher='exact'), ["'exact'", 'searcher', 'ExactSearcher']),
        (dict(surrogate='TRI'), ['surrogate', "type='TRI'"]),
        (dict(surrogate=ASY), ['surrogate', 'ASY']),
        (dict(surrogate=dict(beta=1.5)), ['surrogate', '1.5', 'type']),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ConfigError) as error:
        A2SG(**arguments)
    assert all(name in str(error.value) for name in named)


def test_needs_neurons():
    with pytest.raises(ConfigError, match='Linear.*Fixed'):
        attach(nn.Linear(2, 2), Fixed())


def test_the_exact_searcher_is_the_default():
    assert isinstance(A2SG().searcher, ExactSearcher)


def test_a_search_stores_nothing(x):
    """`width` answers; only the controller writes to the neuron."""
    policy = A2SG()
    model = network(policy)
    policy.begin(0)
    before, calls = betas(model), []

    class Watching(PolicyController):
        def width(self, t, gradient):
            width = super().width(t, gradient)
            assert torch.equal(self.neuron.beta, before['lif1' if self.neuron is model.lif1 else 'lif2'])
            calls.append(t)
            return width

    policy.controller = lambda neuron: Watching(policy, neuron)
    model(x).square().mean().backward()
    assert calls == [3, 2, 1, 0] * 2 and all((beta != 1).any() for beta in betas(model).values())


def test_widths_have_an_element_a_time_step_from_the_start(x):
    model = Network(T=T).double()
    assert all(beta.tolist() == [1.0] * T for beta in betas(model).values())
    bare = Network().double()
    attach(bare, A2SG(), T)
    assert all(beta.tolist() == [1.0] * T for beta in betas(bare).values())
    tensors = {name: neuron.beta for name, neuron in named_neurons(model).items()}
    policy = A2SG()
    attach(model, policy)
    step(model, policy, x)
    # copies and wrappers of a network know its tensors
    assert all(neuron.beta is tensors[name] for name, neuron in named_neurons(model).items())
    assert all((beta != 1).any() for beta in betas(model).values())


@pytest.mark.parametrize('saved, made, loaded', [(None, T, T), (T, None, T), (T, T, T), (2, T, 2)])
def test_widths_of_older_checkpoints_load(saved, made, loaded):
    state = Network(T=saved).state_dict()
    for name in ('lif1.beta', 'lif2.beta'):
        state[name].copy_(torch.linspace(0.5, 0.8, len(state[name])))
    model = Network(T=made)
    model.load_state_dict(state)
    assert all(len(beta) == loaded and beta[0] == 0.5 for beta in betas(model).values())
    if saved is None:
        assert (model.lif1.beta == 0.5).all()


def test_equal_widths_serve_any_number_of_time_steps_until_a_search_asks(x):
    model = Network(T=T).double()
    model(x[:2]).sum().backward()
    attach(model, policy := A2SG())
    policy.begin(0)
    with pytest.raises(ConfigError, match='T = 4.*T = 2'):
        model(x[:2])
    for neuron in named_neurons(model).values():  # as the message advises
        neuron.set_time_steps(2)
        neuron.set_widths(1)
    step(model, policy, x[:2])
    assert all(len(beta) == 2 and (beta != 1).any() for beta in betas(model).values())


@pytest.mark.parametrize('steps', [2, 6])
def test_fixed_widths_are_observed_over_any_number_of_time_steps(steps, x):
    model, policy = Network(T=T).double(), Fixed()
    attach(model, policy)
    step(model, policy, torch.cat([x, x])[:steps], observe=True)
    assert policy.records[model.lif2]['beta'].shape == policy.records[model.lif2]['cv'].shape == (steps,)


def test_a_layer_that_no_gradient_reaches_is_no_fault(x):
    model, policy = Network().double(), A2SG()
    attach(model, policy)
    model.fc1.requires_grad_(False)
    step(model, policy, x)
    policy.begin(1)
    assert (model.lif1.beta == 1).all() and (model.lif2.beta != 1).any()


def test_random_numbers_of_a_search_are_the_same_everywhere():
    draws = generator(torch.device('cpu'), 5, 3, 1024)
    assert torch.randint(1000, (4,), generator=draws).tolist() == [567, 280, 646, 1]
    assert draws.initial_seed() != generator(torch.device('cpu'), 5, 31, 24).initial_seed()


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_fixed_widths(copied, x):
    policy = A2SG(searcher=EXACT)
    model = network(policy)
    step(model, policy, x)  # a policy that searches
    found, twin = betas(model), copied(model)
    twin(3 * x).square().mean().backward()
    assert all(neuron.policy is None for neuron in named_neurons(twin).values())
    assert all(torch.equal(beta, found[name]) for name, beta in betas(twin).items())
    step(model, policy, 3 * x)
    assert any((beta != found[name]).any() for name, beta in betas(model).items())
    attach(twin, A2SG())  # the copy is under no policy
