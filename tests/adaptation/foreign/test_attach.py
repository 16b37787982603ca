"""What `attach` does with a network of another library, and what it leaves alone."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import a2sg_zoo
from a2sg_zoo.adaptation import A2SG, Fixed, attach, detach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF
from tests.adaptation.foreign.networks import MultiStep, SingleStep, T, inputs, reset, step
from tests.adaptation.foreign.own import Own, Steps, fires, jelly, loss_of


def widths(layers):
    return {name: layer.beta.clone() for name, layer in layers.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def gradients(network):
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def test_neurons_without_an_adapter_are_named(monkeypatch):
    from a2sg_zoo.adaptation import attachment

    norse, snntorch = pytest.importorskip('norse.torch'), pytest.importorskip('snntorch')
    neuron = pytest.importorskip('spikingjelly.activation_based.neuron')
    told = []
    monkeypatch.setattr(attachment, 'print_log', lambda text, *args: told.append(text))
    known = [jelly(), norse.LIFCell(), norse.LI(), neuron.NonSpikingLIFNode(), norse.PoissonEncoder(4)]
    attach(nn.Sequential(*known), Fixed())
    assert not told
    unknown = [norse.LIFExCell(), norse.LIFRefracCell(), snntorch.SLSTM(4, 8), neuron.TernaryLIFNode()]
    assert list(attach(nn.Sequential(jelly(), *unknown), A2SG())) == ['0']
    assert told[0].endswith('1 (LIFExCell), 2 (LIFRefracCell), 3 (SLSTM), 4 (TernaryLIFNode)')


# a training loop


def test_two_lines_and_train_as_before():
    network = MultiStep(jelly)
    layers = a2sg_zoo.attach(network, a2sg_zoo.A2SG())
    found = []
    for i in range(3):
        reset(network)
        network(inputs(1.0 + i, i)).square().mean().backward()
        found.append(widths(layers))
    assert list(layers) == ['n1', 'n2'] and not same(found[0], found[1]) and not same(found[1], found[2])
    again = MultiStep(jelly)
    policy = A2SG()
    explicit = attach(again, policy)
    for i in range(3):
        step(again, policy, i, inputs(1.0 + i, i))
        assert same(widths(explicit), found[i])


def test_a_forward_pass_counts_as_a_step_unless_begin_is_called():
    network, policy = Steps(), A2SG(interval=2)
    layers = attach(network, policy)
    searched = []
    for i in range(4):
        before = widths(layers)
        loss_of(network, inputs(1.0 + i, i)).backward()
        searched.append(not same(before, widths(layers)))
    assert searched == [True, False, True, False]
    policy.begin(7)
    before = widths(layers)
    loss_of(network).backward()
    loss_of(network).backward()
    assert same(before, widths(layers))


@pytest.mark.parametrize('make', [lambda features: LIF(T=T), lambda features: jelly(), lambda features: Own()])
def test_gradient_accumulation_searches_on_the_first_micro_batch(make):
    network = (Steps if isinstance(make(1), Own) else MultiStep)(make)
    policy = A2SG()
    layers = attach(network, policy)
    step(network, policy)
    found = widths(layers)
    step(network, policy, x=inputs(5.0, 9), micro_batch=1)
    assert same(found, widths(layers))
    step(network, policy, 1, x=inputs(5.0, 9))
    assert not same(found, widths(layers))


def test_nothing_happens_in_eval_mode_and_without_gradients():
    network, policy = MultiStep(jelly), A2SG()
    layers = attach(network, policy)
    policy.begin(0, observe=True)
    network.eval()
    loss_of(network).backward()
    reset(network)
    network.train()
    with torch.no_grad():
        network(inputs())
    assert not policy.records and all(layer.beta.tolist() == [1.0] for layer in layers.values())
    with torch.no_grad():
        reset(network)
        ours = network(inputs())
        detach(network)
        reset(network)
        assert torch.equal(ours, network(inputs()))


def test_two_forward_passes_in_one_step_are_two_sequences():
    network, policy = MultiStep(jelly), A2SG()
    layers = attach(network, policy)
    policy.begin(0)
    reset(network)
    first = loss_of(network, inputs(seed=1))
    reset(network)
    (first + loss_of(network, inputs(seed=2))).backward()
    assert all(layer.beta.shape == (T,) and layer.trace.T == T for layer in layers.values())


def test_observes_without_a_search():
    network, policy = MultiStep(jelly), Fixed()
    layers = attach(network, policy)
    step(network, policy, observe=True)
    record = policy.records[layers['n2']]
    assert record['cv'].shape == record['u_mean'].shape == (T,) and record['tgc'].shape == (T - 1,)
    assert 0 < float(record['rate']) < 1 and record['sgv'].isfinite()


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_bad_gradients_leave_widths_alone(bad):
    network, policy = MultiStep(jelly), A2SG(sample=16)
    layers = attach(network, policy)
    step(network, policy)
    found = widths(layers)
    reset(network)
    policy.begin(1)
    out = network(2 * inputs())
    cotangent = torch.ones_like(out)
    cotangent[1, 3, 1] = bad
    out.backward(cotangent)
    assert same(found, widths(layers))


class Both(MultiStep):
    def __init__(self, ours='n2'):
        super().__init__(jelly)
        setattr(self, ours, LIF(tau=2.0, detach_reset=False, T=T).double())


def test_a_network_of_both():
    network, theirs, policies_ = Both(), MultiStep(jelly), (A2SG(), A2SG())
    layers = [attach(n, p) for n, p in zip((network, theirs), policies_)]
    found, expected = (step(n, p) for n, p in zip((network, theirs), policies_))
    assert same(widths(layers[0]), widths(layers[1]))
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize('ours', ['n1', 'n2'])
def test_a_network_of_both_that_is_not_called(ours):
    network, policy = Both(ours), A2SG(interval=2)
    attach(network, policy)
    for _ in range(4):
        reset(network)
        network.forward(inputs()).square().mean().backward()
    assert policy.searches == dict(spatial=4, temporal=12)


@pytest.mark.parametrize('sample', [None, 128])
def test_a_sample_is_the_same_as_ours(sample):
    ours, theirs = MultiStep(lambda features: LIF(detach_reset=False)), MultiStep(jelly)
    layers = []
    for network in (ours, theirs):
        policy = A2SG(sample=sample)
        layers.append(attach(network, policy, T))
        step(network, policy, seed=4)
    assert same(*map(widths, layers))


# activation checkpointing, time loops, precision


class Checkpointed(MultiStep):
    def __init__(self, make, reentrant):
        super().__init__(make)
        self.reentrant = reentrant

    def block(self, fc, neuron, x):
        if isinstance(neuron, Own):
            neuron.v = 0.0
            return torch.stack([neuron(x_t) for x_t in fc(x)])
        return neuron(fc(x))

    def forward(self, x):
        x = x.clone().requires_grad_()
        for fc, neuron in ((self.fc1, self.n1), (self.fc2, self.n2)):
            if not isinstance(neuron, Own) and self.reentrant is None:
                neuron.reset()
            if self.reentrant is None:
                x = self.block(fc, neuron, x)
            else:
                x = checkpoint(self.fresh, fc, neuron, x, use_reentrant=self.reentrant)
        return self.readout(x)

    def fresh(self, fc, neuron, x):
        if not isinstance(neuron, Own):
            neuron.reset()
        return self.block(fc, neuron, x)


@pytest.mark.parametrize('make', [lambda features: jelly(), lambda features: Own()], ids=['SpikingJelly', 'own'])
@pytest.mark.parametrize('reentrant', [True, False])
def test_activation_checkpointing_searches_once(reentrant, make):
    results = []
    for mode in (None, reentrant):
        network, policy = Checkpointed(make, mode), A2SG()
        layers = attach(network, policy)
        for i in range(2):
            policy.begin(i)
            network.zero_grad()
            loss_of(network, inputs(1.0 + i)).backward()
        results.append((widths(layers), gradients(network), dict(policy.searches)))
    assert same(results[0][0], results[1][0]) and results[0][2] == results[1][2] == dict(spatial=4, temporal=12)
    assert same(results[0][1], results[1][1])


@pytest.mark.parametrize('reentrant', [True, False])
def test_checkpointing_the_whole_network(reentrant):
    results = []
    for run in (lambda network, x: network(x), lambda network, x: checkpoint(network, x, use_reentrant=reentrant)):
        network, policy = Steps(), A2SG()
        layers = attach(network, policy)
        run(network, inputs().requires_grad_()).square().mean().backward()
        results.append((widths(layers), gradients(network)))
    assert same(results[0][0], results[1][0]) and same(results[0][1], results[1][1])


def test_time_steps_outside_of_the_network():
    """A loop of the user's calls the network once a time step, as tutorials of SpikingJelly and snnTorch do."""
    results = []
    for outside in (False, True):
        network, policy = SingleStep(lambda features: jelly(step_mode='s')), A2SG()
        layers = attach(network, policy)
        for i in range(2):
            network.zero_grad()
            reset(network)
            x = inputs(1.0 + i)
            out = torch.stack([network(x[t : t + 1])[0] for t in range(T)]) if outside else network(x)
            out.square().mean().backward()
        results.append((widths(layers), gradients(network), dict(policy.searches)))
    assert same(results[0][0], results[1][0]) and results[0][2] == results[1][2]
    assert same(results[0][1], results[1][1])


def test_the_scale_of_the_loss_moves_no_width_and_autocast_runs():
    results = []
    for scale in (1.0, 1024.0):
        network, policy = MultiStep(jelly).float(), A2SG()
        layers = attach(network, policy)
        with torch.autocast('cpu', torch.bfloat16):
            loss = network(inputs().float()).float().square().mean() * scale
        loss.backward()
        results.append(widths(layers))
        assert all(g.isfinite().all() for g in gradients(network).values())
        assert all(beta.dtype == torch.float32 and (beta != 1).any() for beta in results[-1].values())
    assert same(*results)


# copies, files, and the way back


def test_detach_puts_everything_back():
    network, policy = MultiStep(jelly), A2SG()
    own = network.n1.surrogate_function
    expected = step(network)
    state = network.state_dict()
    attach(network, policy)
    step(network, policy)
    assert network.state_dict().keys() == state.keys()
    detach(network)
    assert network.n1.surrogate_function is own
    assert not network._forward_pre_hooks and not network.n1._forward_pre_hooks
    assert same(step(network), expected)
    with pytest.raises(ConfigError, match='MultiStep'):
        detach(network)
    ours = MultiStep(lambda features: LIF(surrogate=dict(type='ATan'), T=T))
    expected = step(ours)
    attach(ours, policy := A2SG())
    step(ours, policy)
    detach(ours)
    assert same(step(ours), expected) and ours.n1.policy is None


def test_a_copy_has_its_own_spike_functions_again():
    network, policy = Steps(), A2SG()
    attach(network, policy)
    step(network, policy)
    network.n1.v = network.n2.v = 0.0
    twin = copy.deepcopy(network)
    assert twin.n1.act is fires and type(network.n1.act) is not type(fires)
    assert torch.equal(twin(inputs()), network(inputs()))
    attach(twin, A2SG())  # the copy is under no policy
    network, policy = MultiStep(jelly), A2SG()
    attach(network, policy)
    step(network, policy)
    reset(network)
    assert type(copy.deepcopy(network).n1.surrogate_function).__module__.startswith('spikingjelly')


def test_a_copy_of_norse_has_its_own_step_function_again():
    norse = pytest.importorskip('norse.torch')
    network = nn.Sequential(norse.LIFCell(), norse.LIF(), norse.LIFRecurrentCell(2, 2))
    own = [neuron.activation for neuron in network]
    attach(network, Fixed())
    assert [neuron.activation for neuron in copy.deepcopy(network)] == own  # norse cannot be pickled


def test_a_pickled_network_loads_without_this_package(tmp_path):
    pytest.importorskip('spikingjelly')
    from spikingjelly.activation_based import neuron

    network = nn.Sequential(nn.Linear(6, 8), neuron.LIFNode(step_mode='m'), nn.Linear(8, 2))
    attach(network, A2SG())
    network(inputs().float()).sum().backward()
    reset(network)
    file = tmp_path / 'network.pkl'
    file.write_bytes(pickle.dumps(network))
    expected = network(inputs().float())
    torch.save(expected, tmp_path / 'expected.pt')
    torch.save(inputs().float(), tmp_path / 'x.pt')
    script = """
import pickle, sys, torch
sys.modules['a2sg_zoo'] = None
network = pickle.load(open('network.pkl', 'rb'))
assert torch.equal(network(torch.load('x.pt')), torch.load('expected.pt'))
network(torch.load('x.pt')).sum().backward() if network[1].reset() is None else None
"""
    done = subprocess.run([sys.executable, '-c', script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_widths_are_saved_with_the_layers():
    network, policy = MultiStep(jelly), A2SG()
    layers = attach(network, policy)
    step(network, policy)
    state = pickle.loads(pickle.dumps(layers.state_dict()))
    fresh = attach(MultiStep(jelly), A2SG())
    fresh.load_state_dict(state)
    assert same(widths(fresh), widths(layers)) and fresh['n1'].beta.dtype == torch.float64
    assert list(state) == ['n1.beta', 'n2.beta']
    with pytest.raises(ConfigError, match='n2.beta'):
        fresh.load_state_dict({'n1.beta': torch.ones(4)})
