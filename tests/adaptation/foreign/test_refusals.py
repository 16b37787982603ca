"""Networks, layers and adapters that attach refuses, and what it says."""

import re

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, LSG, Adapter, Dspike, EvolvingTanh, Fixed, adapter, attach, detach, policies
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons import LIF
from tests.adaptation.foreign.networks import MultiStep, inputs, reset, step
from tests.adaptation.foreign.own import Own, OwnAdapter, Steps, fires, jelly, loss_of


def test_no_neurons_names_the_classes_that_were_seen():
    with pytest.raises(ConfigError, match=r'Linear \(2\).*ReLU \(1\)'):
        attach(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), A2SG())


@pytest.mark.parametrize('policy', ['a2sg', dict(type='A2SG'), A2SG, nn.Linear(2, 2)], ids=repr)
def test_what_is_no_network_or_no_policy(policy):
    with pytest.raises(ConfigError, match='attach: policy'):
        attach(nn.Sequential(LIF()), policy)
    with pytest.raises(ConfigError, match='attach: network'):
        attach(A2SG(), nn.Sequential(LIF()))


def test_a_network_that_is_attached_twice():
    network, policy = MultiStep(jelly), A2SG()
    layers = attach(network, policy)
    assert attach(network, policy) is layers
    with pytest.raises(ConfigError, match='MultiStep.*A2SG'):
        attach(network, Fixed())
    with pytest.raises(ConfigError, match='^1'):
        attach(nn.Sequential(nn.Linear(2, 2), network.n1), Fixed())
    detach(network)
    attach(network, Fixed())


def test_a_part_of_an_attached_network():
    part = nn.Sequential(nn.Linear(2, 2), LIF())
    network = nn.Sequential(part, nn.Linear(2, 2))
    attach(part, inner := A2SG())
    with pytest.raises(ConfigError, match=r'0\.1 \(LIF\).*detach'):
        attach(network, Fixed())
    assert part[1].policy is inner
    detach(part)
    attach(network, Fixed())
    with pytest.raises(ConfigError, match=r'1 \(LIF\).*detach'):
        attach(part, A2SG())


def test_one_policy_for_two_networks():
    first, second, policy = MultiStep(jelly), MultiStep(jelly), A2SG(interval=2)
    attach(first, policy)
    step(first, policy, 1)
    layers = attach(second, policy)
    with pytest.raises(ConfigError, match='A2SG.*another network.*n1, n2'):
        step(first)
    for searches in (2, 2, 4):  # it begins steps by itself, and from the first one
        step(second)
        assert policy.searches['spatial'] == searches and layers['n1'].beta.numel() == 4


def test_a_neuron_in_two_places():
    shared = Own()
    network = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared)
    with pytest.raises(ConfigError, match='3 .*Own.* 1'):
        attach(network, A2SG())
    attach(network, Fixed())  # which has nothing to choose
    network(torch.ones(1, 2)).sum().backward()


@pytest.mark.parametrize('make', [lambda features: LIF(T=4), lambda features: jelly()], ids=['ours', 'theirs'])
def test_replicas_of_data_parallel(make):
    network = MultiStep(make)
    attach(network, A2SG())
    replica, part = network._replicate_for_data_parallel(), network.n1._replicate_for_data_parallel()
    for call in (lambda: replica(inputs()), lambda: part(torch.ones(4, 2, 40))):
        with pytest.raises(ConfigError, match='DataParallel.*DistributedDataParallel'):
            call()
    replica.eval()(inputs())
    detach(network)
    attach(network, Fixed())
    reset(network)
    network._replicate_for_data_parallel()(inputs()).sum().backward()


@pytest.mark.parametrize('name, named', [('PSN', 'PSN'), ('SlidingPSN', 'SlidingPSN'), ('LIAFNode', 'LIAFNode')])
def test_neurons_without_a_potential_of_a_time_step(name, named):
    neuron = pytest.importorskip('spikingjelly.activation_based.neuron')
    made = dict(
        PSN=dict(T=4), SlidingPSN=dict(k=2, step_mode='m'), LIAFNode=dict(act=torch.relu, threshold_related=False)
    )
    network = nn.Sequential(nn.Linear(6, 8), getattr(neuron, name)(**made[name]))
    with pytest.raises(ConfigError, match=rf'1 \({named}\)'):
        attach(network, A2SG())
    attach(network, Fixed())  # no search, no potential needed
    network(inputs().float()).sum().backward()
    assert network[0].weight.grad.isfinite().all()


@pytest.mark.parametrize('policy', [A2SG(), Fixed()], ids=repr)
@pytest.mark.parametrize('name', ['ILIFNode', 'DeltaLeaky'])
def test_neurons_without_a_window_are_refused_under_every_policy(name, policy, monkeypatch):
    if name == 'DeltaLeaky':  # snnTorch resets all neurons that were ever made, and cannot reset this kind
        monkeypatch.setattr(pytest.importorskip('snntorch').SpikingNeuron, 'instances', [])
    library = 'snntorch' if name == 'DeltaLeaky' else 'spikingjelly.activation_based.neuron'
    neuron = getattr(pytest.importorskip(library), name)(**dict(beta=0.9) if name == 'DeltaLeaky' else {})
    with pytest.raises(ConfigError, match=rf'1 \({name}\)'):
        attach(nn.Sequential(nn.Linear(6, 8), neuron, jelly()), policy)


@pytest.mark.parametrize(
    'name, value', [('backend', 'cupy'), ('backend', 'triton'), ('_neuron_precision', 'fp16')], ids=repr
)
def test_a_back_end_that_hides_the_surrogate(name, value):
    network = nn.Sequential(nn.Linear(6, 8), jelly())
    vars(network[1])['_backend' if name == 'backend' and '_backend' in vars(network[1]) else name] = value
    with pytest.raises(ConfigError, match=r'1 \(LIFNode\)'):
        attach(network, A2SG())


def test_a_second_backward_pass_and_a_gradient_of_the_gradient():
    network, policy = MultiStep(jelly), A2SG()
    attach(network, policy)
    reset(network)
    loss = loss_of(network)
    loss.backward(retain_graph=True)
    with pytest.raises(A2SGError, match=r'n2 \(LIFNode\)'):
        loss.backward()
    reset(network)
    with pytest.raises(A2SGError, match=r'n2 \(LIFNode\).*create_graph'):
        torch.autograd.grad(loss_of(network), list(network.parameters()), create_graph=True)
    detach(network)
    attach(network, Fixed())
    reset(network)
    first = torch.autograd.grad(loss_of(network), network.fc1.weight, create_graph=True)[0]
    assert torch.autograd.grad(first.square().sum(), network.fc1.weight)[0].isfinite().all()


@pytest.mark.skipif(torch._dynamo.config.disable, reason='torch.compile is switched off')
def test_compiling_over_a_search():
    network = MultiStep(jelly)
    attach(network, A2SG())
    with pytest.raises(ConfigError, match=r'n1 \(LIFNode\).*torch.compile'):
        torch.compile(network, backend='eager')(inputs())


def test_another_number_of_time_steps():
    network, policy = MultiStep(jelly), A2SG()
    attach(network, policy)
    step(network, policy)
    with pytest.raises(ConfigError, match=r'n2 \(LIFNode\).*T = 4.*T = 2'):
        step(network, policy, 1, x=inputs()[:2])


class NoDifference(Own):
    def forward(self, x):
        return self.act(2 * x)


class LearnedThreshold(Own):
    def __init__(self):
        super().__init__()
        self.theta, self.learned = 1.0, nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.act(x - self.learned)


class NeverFires(Own):
    def forward(self, x):
        return fires(x) + x


@pytest.mark.parametrize('kind', [NoDifference, LearnedThreshold])
def test_a_neuron_that_its_adapter_does_not_describe(kind):
    network = Steps(lambda features: kind())
    attach(network, A2SG())
    with pytest.raises(ConfigError, match=rf'n1 \({kind.__name__}\)'):
        network(inputs())
    detach(network)
    attach(network, Fixed())
    loss_of(network).backward()


class OwnThreshold(Own):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.ones(()))


@adapter(OwnThreshold)
class WrongThreshold(OwnAdapter):
    def threshold(self, module):
        return module.theta.expand(7)


class Summed(Own):
    def __init__(self):
        super().__init__()
        self.act = lambda z: fires(z).sum(-1)

    def forward(self, x):
        return super().forward(x)[..., None].expand_as(x)


@pytest.mark.parametrize('kind, named', [(OwnThreshold, '(7,)'), (Summed, '(12,)')])
def test_an_adapter_or_a_spike_function_of_a_wrong_shape(kind, named):
    network = Steps(lambda features: kind())
    attach(network, A2SG())
    with pytest.raises(ConfigError, match=rf'n1 \({kind.__name__}\).*{re.escape(named)}'):
        network(inputs())


def test_a_neuron_that_never_calls_its_spike_function_is_named():
    class Half(Steps):
        def __init__(self):
            super().__init__()
            self.n1 = NeverFires()

    network, policy = Half(), A2SG()
    attach(network, policy)
    loss_of(network).backward()
    with pytest.raises(ConfigError, match=r'n1 \(NeverFires\)') as error:
        loss_of(network)
    assert 'n2' not in str(error.value)


@pytest.mark.parametrize('name', ['forward', 'single_step_forward'])
def test_a_method_of_a_neuron_that_is_called_in_its_place(name):
    network = nn.Sequential(nn.Linear(6, 8), jelly(step_mode='s'))
    attach(network, A2SG())
    for _ in range(2):
        with pytest.raises(ConfigError, match=r'1 \(LIFNode\).*neuron\(x\)'):
            getattr(network[1], name)(network[0](torch.ones(2, 6)))
        reset(network)
        network(torch.ones(2, 6)).sum().backward()
        reset(network)
    detach(network)
    network.zero_grad()
    attach(network, Fixed())
    reset(network)
    getattr(network[1], name)(network[0](torch.ones(2, 6))).sum().backward()
    expected = network[0].weight.grad.clone()
    network.zero_grad()
    reset(network)
    network(torch.ones(2, 6)).sum().backward()
    assert torch.equal(network[0].weight.grad, expected)


class FiresOnce(Own):
    pass


@adapter(FiresOnce)
class TwoCalls(OwnAdapter):
    calls_before = 1


def test_a_neuron_that_calls_its_spike_function_too_seldom_is_named():
    network = Steps()
    network.n1 = FiresOnce()
    attach(network, A2SG())
    loss_of(network).backward()
    with pytest.raises(ConfigError, match=r'n1 \(FiresOnce\)'):
        loss_of(network)


def test_an_adapter_with_a_wrong_name():
    class Named(Own):
        pass

    @adapter(Named)
    class NamedAdapter(Adapter):
        spike_attribute, threshold_attribute = 'fire', 'theta'

    with pytest.raises(ConfigError, match="NamedAdapter.*Named.*'fire'"):
        attach(Steps(lambda features: Named()), A2SG())


@pytest.mark.parametrize('policy', [Dspike(), EvolvingTanh()], ids=repr)
def test_policies_that_need_to_be_told_more(policy):
    network = MultiStep(jelly)
    with pytest.raises(ConfigError, match=type(policy).__name__):
        attach(network, policy)
        network(inputs())
    if isinstance(policy, EvolvingTanh):
        assert step(network, policy, progress=0.5) and policy.K > 1


def test_lsg_needs_a_decay_that_the_adapter_gives():
    leaky = pytest.importorskip('snntorch').Leaky(beta=0.9, learn_beta=True)
    with pytest.raises(ConfigError, match=r'0 \(Leaky\), its adapter gives no learned decay'):
        attach(nn.Sequential(leaky), LSG())


def test_a_starving_layer_is_named(monkeypatch):
    told = []
    monkeypatch.setattr(policies, 'print_log', lambda text, *args: told.append(text))
    network = MultiStep(jelly)
    nn.init.constant_(network.fc2.bias, -90.0)
    attach(network, A2SG())
    for _ in range(10):
        reset(network)
        loss_of(network).backward()
    assert len(told) == 1 and 'n2 (t = 4, width 1, 0.00% inside)' in told[0] and 'n1 (t' not in told[0]
