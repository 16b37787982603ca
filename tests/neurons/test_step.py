"""The base class of neurons that are written as one time step: where the dynamics are those of our LIF, the windows
are, and the gradient is everywhere that of plain autograd under the windows that were chosen."""

import copy
import io
from functools import partial
from unittest import mock

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.adaptation import A2SG, CPNG, MPDAGL, STASG, TASG, EvolvingTanh, Fixed, attach, detach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import (
    ALIF,
    CLIF,
    EIF,
    GLIF,
    KLIF,
    LIF,
    PSN,
    QIF,
    Izhikevich,
    MaskedPSN,
    Recurrent,
    SlidingPSN,
    SynapticLIF,
    compute_reference,
    hold_widths,
    recorded_gradients,
    recorded_potentials,
    use_backend,
)
from a2sg_zoo.neurons.deferred import Search
from tests.fake_gpu import fake_gpu

from .networks import Leaky, Perceptron, T, assert_same, inputs, step

NEURONS = dict(
    Leaky=Leaky,
    ALIF=lambda **k: ALIF(tau_a=3.0, b=0.5, detach_reset=False, **k),
    ALIF_soft=lambda **k: ALIF(reset='soft', detach_reset=False, **k),
    SynapticLIF=SynapticLIF,
    QIF=QIF,
    EIF=EIF,
    Izhikevich=lambda **k: Izhikevich(detach_reset=False, **k),
    KLIF=lambda **k: KLIF(scale_reset=True, **k),
    GLIF=lambda **k: GLIF(detach_reset=False, **k),
    CLIF=lambda **k: CLIF(detach_reset=False, **k),
    SlidingPSN=SlidingPSN,
    PSN=PSN,
    MaskedPSN=lambda **k: MaskedPSN(k=3, **k),
)
ADVANCED = [name for name in NEURONS if name not in ('PSN', 'MaskedPSN')]
VARIANTS = [
    dict(),
    dict(detach_reset=False),
    dict(reset='soft'),
    dict(reset='soft', detach_reset=False),
    dict(v_reset=-0.2, v_threshold=0.8),
]


@pytest.mark.parametrize(
    'variant, policy',
    [(variant, A2SG) for variant in VARIANTS]
    + [(VARIANTS[3], p) for p in (STASG, TASG, CPNG, MPDAGL, EvolvingTanh)]
    + [(VARIANTS[1], partial(A2SG, steps_per_width=k)) for k in (2, 3, 9)],
)
def test_it_chooses_the_windows_of_our_lif(variant, policy):
    networks = [Perceptron(lambda kind=kind: kind(T=T, **variant)) for kind in (LIF, Leaky)]
    policies = [policy(**(dict(warm_up=1, momentum=0.5) if policy is CPNG else {})) for _ in networks]
    ours, theirs = (attach(*both) for both in zip(networks, policies))
    for iteration in range(3):
        expected, found = (
            step(network, policy, iteration, observe=True, progress=0.3) for network, policy in zip(networks, policies)
        )
        assert_same(found, expected)
        for name, neuron in ours.items():
            torch.testing.assert_close(theirs[name].beta, neuron.beta, rtol=1e-12, atol=0)
            for a, b in zip(*(p.records[layers[name]].values() for p, layers in zip(policies, (ours, theirs)))):
                torch.testing.assert_close(a, b, equal_nan=True)
    assert any((neuron.beta != neuron.surrogate.beta).any() for neuron in theirs.values())


def searched(make, policy=A2SG, **kwargs):
    network, policy = Perceptron(lambda: make(T=T)), policy(beta_min=0.3, **kwargs)
    layers = attach(network, policy)
    step(network, policy)
    return network, policy, layers


@pytest.mark.parametrize('name', NEURONS)
def test_gradients_are_those_of_plain_autograd_under_the_chosen_windows(name):
    network, policy, layers = searched(NEURONS[name])
    found = step(network, policy, 1)
    assert all(layer.beta.unique().numel() > 1 for layer in layers.values())
    with use_backend(network, compute_reference):
        assert_same(found, step(network, x=inputs(1)))
    with hold_widths(network):
        assert_same(found, step(network, x=inputs(1)))


def test_a_sample_of_the_elements():
    networks = [Perceptron(lambda kind=kind: kind(T=T)) for kind in (LIF, Leaky)]
    policies = [A2SG(sample=64) for _ in networks]
    layers = [attach(*both) for both in zip(networks, policies)]
    assert_same(*(step(*both) for both in zip(networks, policies)))
    assert all(torch.equal(layers[0][name].beta, layers[1][name].beta) for name in layers[0])


@pytest.mark.parametrize('name', ADVANCED)
def test_two_calls_over_two_halves_equal_one(name):
    """In spikes, gradients of x and of what came before the state, and widths."""
    found = []
    for split in (None, 1, 3):
        torch.manual_seed(0)
        neuron = NEURONS[name](T=T).double()
        policy = A2SG(beta_min=0.3)
        attach(neuron, policy)
        for iteration in range(2):
            policy.begin(iteration)
            x = inputs(iteration).requires_grad_()
            if split is None:
                s, state = neuron(x), None
            else:
                first, state = neuron.advance(x[:split])
                second, state = neuron.advance(x[split:], state)
                s = torch.cat([first, second])
            (s * inputs(7)).sum().backward()
        found.append((s, x.grad, neuron.beta.clone()))
    for other in found[1:]:
        for a, b in zip(found[0], other):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
    assert found[0][2].unique().numel() > 1


def test_state_carries_the_gradient_and_its_shape():
    neuron = SynapticLIF(T=T).double()
    x = inputs()[:2].requires_grad_()
    _, state = neuron.advance(x)
    assert [tuple(v.shape) for v in state] == [(7, 6)] * 2
    neuron.advance(inputs()[2:], state)[0].sum().backward()
    assert x.grad.abs().max() > 0


def test_truncated_backpropagation_searches_the_widths_of_its_own_time_steps():
    found = []
    for kind in (LIF, Leaky):
        neuron, policy = kind(T=T).double(), A2SG(beta_min=0.3)
        attach(neuron, policy)
        policy.begin(0, observe=True)
        first, state = neuron.advance(inputs()[:2])
        x = inputs()[2:].requires_grad_()
        (neuron.advance(x, state.detach())[0] * inputs(7)[2:]).sum().backward()
        assert (neuron.beta[:2] == 1).all() and (neuron.beta[2:] != 1).any()
        found.append(dict(x=x.grad, **policy.records[neuron]))
    assert_same(found[1], found[0])


def test_activation_checkpointing():
    results = []
    for again in (False, True):
        network, policy, layers = searched(NEURONS['ALIF'])
        if again:
            plain = network.n1.forward
            network.n1.forward = lambda x, plain=plain: checkpoint(plain, x, use_reentrant=False)
        results.append((step(network, policy, 1), {name: layer.beta.clone() for name, layer in layers.items()}))
    assert_same(results[1][0], results[0][0])
    assert_same(results[1][1], results[0][1])


def test_chunks_of_time_with_activation_checkpointing():
    results = []
    for again in (False, True):
        neuron, policy, state, chunks = NEURONS['ALIF'](T=T).double(), A2SG(beta_min=0.3), None, []
        attach(neuron, policy)
        policy.begin(0)
        x = inputs().requires_grad_()
        for chunk in x.split(2):
            run = partial(checkpoint, neuron.advance, use_reentrant=False) if again else neuron.advance
            s, state = run(chunk, state)
            chunks.append(s)
        (torch.cat(chunks) * inputs(7)).sum().backward()
        results.append(dict(x=x.grad, beta=neuron.beta.clone()))
    assert_same(results[1], results[0])


def test_two_forward_passes_before_one_backward_pass():
    network, policy, layers = searched(NEURONS['ALIF'])
    other = copy.deepcopy(network)
    policy.begin(1)
    network.zero_grad()
    losses = [network(inputs(seed)).square().mean() for seed in (1, 2)]
    losses[0].backward(retain_graph=True)
    widths = {name: layer.beta.clone() for name, layer in layers.items()}
    assert_same({name: p.grad for name, p in network.named_parameters()}, step_of(other, policy, 1, widths))
    network.zero_grad()
    losses[0].backward()  # a second backward pass through the same forward pass searches again
    assert_same({name: layer.beta for name, layer in layers.items()}, widths)


def step_of(network, policy, seed, widths):
    for name, beta in widths.items():
        network.get_submodule(name).set_widths(beta)
    with use_backend(network, compute_reference):
        return step(network, x=inputs(seed))


def test_the_log_says_which_layers_are_searched_without_a_gradient_through_time():
    with mock.patch('a2sg_zoo.adaptation.attachment.print_log') as log:
        attach(Perceptron(lambda: PSN(T=T)), A2SG())
        attach(Perceptron(lambda: PSN(T=T)), Fixed())
        attach(Perceptron(lambda: ALIF(T=T)), A2SG())
    ((text, *_),) = (call.args for call in log.call_args_list)
    assert 'n1' in text and 'n2' in text and 'c = 0' in text


def test_a_search_reads_nothing_on_the_host():
    """Nor does it copy anything to the device, but the grid, once: either would wait for the device."""
    with fake_gpu() as crossings, mock.patch('a2sg_zoo.neurons.deferred.queue_after_backward') as queued:
        neuron, policy = ALIF(T=T).to('cuda'), A2SG(sample=None)
        attach(neuron, policy)
        crossings.clear()  # the neuron itself
        for iteration in range(2):
            policy.begin(iteration, observe=True)
            search, delta = Search(neuron, policy.controller(neuron)), None
            search.T = T
            for t in reversed(range(T)):
                z, g, c = (torch.randn(4, 5, device='cuda') for _ in 'zgc')
                delta, _ = search.step(t, z, g, c, delta)
            queued.call_args.args[0]()
            assert len(crossings) == 1 and neuron.beta.shape == (T,)


class InPlace(Leaky):
    def reset(self, u, s, state):
        return (u.sub_(s.detach()),)


def test_dynamics_may_change_the_potential_in_place():
    expected, found = (searched(partial(kind, reset='soft')) for kind in (Leaky, InPlace))
    assert_same(*(step(network, policy, 1) for network, policy, _ in (found, expected)))
    assert_same(*({name: layer.beta for name, layer in layers.items()} for *_, layers in (found, expected)))


def test_bfloat16():
    network, policy, layers = searched(NEURONS['SynapticLIF'])
    network.float()
    policy.begin(1)
    with torch.autocast('cpu', torch.bfloat16):
        out = network(inputs(1).float())
        assert network.n1(inputs().bfloat16()).dtype == torch.bfloat16
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert all(layer.beta.dtype == torch.float32 for layer in layers.values())


@pytest.mark.parametrize('name', [*NEURONS, 'Recurrent'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_weights_in_half_precision(name, dtype):
    neuron = NEURONS[name](T=T) if name in NEURONS else Recurrent(dict(type='GLIF', T=T), features=6)
    neuron.to(dtype)
    attach(neuron, A2SG())
    x = inputs().to(dtype).requires_grad_()
    s = neuron(x)
    s.sum().backward()
    assert s.dtype == dtype and x.grad.isfinite().all() and ((s == 0) | (s == 1)).all()


def test_recordings():
    network, policy, _ = searched(NEURONS['ALIF'])
    seen = {}
    with recorded_potentials(network) as potentials:
        out = network(inputs())
    for _, u in potentials:
        # where the threshold moves, u is moved instead, so neurons fire at v_threshold
        assert u.shape == (T, 7, 40) and u.requires_grad
    assert [neuron for neuron, _ in potentials] == [network.n1, network.n2]
    first, x = [], network.fc1(inputs())
    handle = network.n1.register_forward_hook(lambda module, args, output: first.append(output))
    with recorded_potentials(network) as potentials:
        network.n1(x)
    handle.remove()
    assert torch.equal(first[0], (potentials[0][1] >= 1).double())
    (grad,) = torch.autograd.grad(potentials[0][1].square().sum(), network.fc1.weight)
    assert grad.abs().max() > 0

    with recorded_gradients(network, lambda name, u, delta: seen.update({name: (u, delta)})):
        out = network(inputs())
    out.square().mean().backward()
    assert seen.keys() == {'n1', 'n2'} and all(u.shape == delta.shape == (T, 280) for u, delta in seen.values())


def test_a_copy_and_a_file_keep_the_widths():
    network, policy, layers = searched(NEURONS['ALIF'])
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    step(network, policy, 1)
    average.update_parameters(network)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = Perceptron(lambda: NEURONS['ALIF'](T=T))
    other.load_state_dict(torch.load(file))
    assert torch.equal(other.n1.beta, layers['n1'].beta) and other.n1.beta.unique().numel() > 1
    assert torch.equal(copy.deepcopy(network).n1.beta, layers['n1'].beta)


def test_fixed_widths_can_be_differentiated_twice():
    network = Perceptron(lambda: NEURONS['ALIF'](T=T, surrogate=dict(type='ATan')))
    attach(network, Fixed(dict(type='ATan')))
    x = inputs().requires_grad_()
    (grad,) = torch.autograd.grad(network(x).square().mean(), x, create_graph=True)
    with use_backend(network, compute_reference):
        (expected,) = torch.autograd.grad(network(x).square().mean(), x, create_graph=True)
    torch.testing.assert_close(grad, expected)
    torch.testing.assert_close(*(torch.autograd.grad(g.square().sum(), x)[0] for g in (grad, expected)))


def test_compiled():
    neuron = NEURONS['SynapticLIF'](T=T).double()
    compiled = torch.compile(neuron, backend='aot_eager')
    results = []
    for run in (neuron, compiled):
        x = inputs().requires_grad_()
        s = run(x)
        results.append((s, *torch.autograd.grad((s * inputs(1)).sum(), x)))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)


def test_detach_puts_widths_back():
    network, _, layers = searched(NEURONS['Leaky'])
    detach(network)
    assert all(layer.policy is None and layer.beta.unique().numel() == 1 for layer in layers.values())


def test_another_number_of_time_steps_than_the_widths_are_for():
    network, policy, _ = searched(NEURONS['Leaky'])
    policy.begin(1)
    with pytest.raises(ConfigError, match='T = 5'):
        network(inputs(T=3))
    with pytest.raises(ConfigError, match='T = 5'):
        network.n1.advance(network.fc1(inputs(T=6)))
    network.eval()
    assert network(inputs(T=3)).shape == (3, 7, 3)
