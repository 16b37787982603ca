"""SpikingJelly's nodes computed by our fused neuron: the same widths, spikes and gradients, in the node itself."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.adaptation import A2SG, CPNG, LSG, MPDAGL, EvolvingTanh, Fixed, attach, detach
from a2sg_zoo.adaptation.foreign.fused import FusedSteps
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import fused

from .networks import MultiStep, T, inputs, reset, step

neuron = pytest.importorskip('spikingjelly.activation_based.neuron')

OPTIONS = {
    f'{name}{kind}{"" if detach_reset else ", through the reset"}{more}': (name, {**of_name, **options})
    for name, of_name in dict(IFNode={}, LIFNode=dict(tau=2.5), ParametricLIFNode=dict(init_tau=2.5)).items()
    for kind, reset_to in {
        ', hard': dict(v_reset=0.0),
        ', soft': dict(v_reset=None),
        ', -0.3': dict(v_reset=-0.3),
    }.items()
    for detach_reset in (True, False)
    for more, summed in {'': {}, ', summed': dict(decay_input=False)}.items()
    if not (summed and name == 'IFNode')
    for options in [{**reset_to, **summed, 'detach_reset': detach_reset, 'v_threshold': 0.8}]
}


def network(name='LIFNode', **options):
    return MultiStep(lambda features: getattr(neuron, name)(step_mode='m', **options))


def both(make, policy=A2SG):
    """(network, policy, layers) of two equal networks, the second one fused."""
    pairs = [(make(), policy()) for _ in range(2)]
    return [(net, pol, attach(net, pol, fuse=fuse)) for (net, pol), fuse in zip(pairs, (False, True))]


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=1e-9, atol=1e-14, msg=name)


def states(net):
    return [net.n1.v, net.n2.v]


@pytest.mark.parametrize('options', OPTIONS)
def test_widths_gradients_and_states_are_those_of_the_node(options):
    name, kwargs = OPTIONS[options]
    (plain, p, layers), (fast, q, fast_layers) = both(lambda: network(name, **kwargs))
    assert all(layer.fused for layer in fast_layers.values())
    moved = 0
    for i in range(3):
        x = inputs(1.0 + i, i)
        close(step(fast, q, i, x), step(plain, p, i, x))
        for key, layer in layers.items():
            torch.testing.assert_close(fast_layers[key].beta, layer.beta, rtol=1e-12, atol=0)
            moved += int((layer.beta != 1).any())
        for a, b in zip(states(fast), states(plain)):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert moved


@pytest.mark.parametrize('policy', [A2SG, MPDAGL, CPNG, LSG, EvolvingTanh, lambda: Fixed(dict(type='ATan'))])
def test_every_policy_works_as_on_the_node(policy):
    (plain, p, layers), (fast, q, fast_layers) = both(lambda: network('ParametricLIFNode', detach_reset=True), policy)
    for i in range(3):
        x = inputs(1.0 + i, i)
        close(step(fast, q, i, x, progress=0.5, observe=True), step(plain, p, i, x, progress=0.5, observe=True))
        for key, layer in layers.items():
            torch.testing.assert_close(fast_layers[key].beta, layer.beta, rtol=1e-12, atol=0)
            for a, b in zip(q.records[fast_layers[key]].values(), p.records[layer].values()):
                torch.testing.assert_close(a, b)


@pytest.mark.parametrize('name', ['LIFNode', 'ParametricLIFNode'])
@pytest.mark.parametrize('decay_input', [True, False])
def test_a_state_that_is_carried_on(name, decay_input):
    """Truncated backpropagation through time: the second half starts from the detached state of the first."""
    found = []
    for net, policy, _ in both(lambda: network(name, v_reset=-0.2, decay_input=decay_input)):
        reset(net)
        for half in range(2):
            policy.begin(half)
            net(inputs(2.0, half)).square().mean().backward()
            for node in (net.n1, net.n2):
                node.detach()
        found.append(({key: p.grad for key, p in net.named_parameters()}, [*states(net)]))
    close(found[1][0], found[0][0])
    for a, b in zip(found[1][1], found[0][1]):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
        assert a.abs().max() > 0


def test_a_state_with_a_gradient():
    """Widths that stand still need no search, so the gradient goes through both calls; a search refuses."""
    gradients = []
    for net, _, _ in both(lambda: network('ParametricLIFNode'), Fixed):
        reset(net)
        (net(inputs(2.0, 0)).square().mean() + net(inputs(2.0, 1)).square().mean()).backward()
        gradients.append({key: p.grad for key, p in net.named_parameters()})
    close(*gradients[::-1])
    detach(net)
    attach(net, A2SG(), fuse=True)
    reset(net)
    net(inputs())
    with pytest.raises(ConfigError, match=r'n1 \(ParametricLIFNode\).*fuse'):
        net(inputs())


def test_an_initial_state_of_the_user():
    found = []
    for net, policy, _ in both(network):
        reset(net)
        net.n1.v, v = 0.4, torch.full((12, 30), -0.5, dtype=torch.float64, requires_grad=True)
        net.n2.v = v.detach()
        policy.begin(0)
        out = net(inputs())
        out.square().mean().backward()
        found.append((out, net.fc1.weight.grad))
    torch.testing.assert_close(*(out for out, _ in found))
    torch.testing.assert_close(*(g for _, g in found))


@pytest.mark.parametrize('v_reset', [0.0, None, -0.3])
@pytest.mark.parametrize('detach_reset', [True, False])
def test_a_loss_on_stored_potentials(v_reset, detach_reset):
    """The gradient that reaches the potentials themselves, as a loss on `v_seq` sends it."""
    found = []
    for net, _, _ in both(
        lambda: network('ParametricLIFNode', store_v_seq=True, v_reset=v_reset, detach_reset=detach_reset), Fixed
    ):
        reset(net)
        (net(inputs()).square().mean() + net.n1.v_seq.square().mean() + net.n2.v.sin().mean()).backward()
        found.append(({key: p.grad for key, p in net.named_parameters()}, net.n1.v_seq))
    close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1])


@pytest.mark.parametrize('reentrant', [True, False])
def test_activation_checkpointing(reentrant):
    class Checkpointed(MultiStep):
        def block(self, fc, node, x):
            node.reset()
            return node(fc(x))

        def forward(self, x):
            x = x.clone().requires_grad_()
            for fc, node in ((self.fc1, self.n1), (self.fc2, self.n2)):
                x = checkpoint(self.block, fc, node, x, use_reentrant=reentrant)
            return self.readout(x)

    found = [
        step(net, policy) for net, policy, _ in both(lambda: Checkpointed(lambda f: neuron.LIFNode(step_mode='m')))
    ]
    close(*found[::-1])
    expected = step(*both(network)[0][:2])
    close(found[1], expected)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.sn = nn.Linear(6, 6).double(), neuron.LIFNode(step_mode='m', detach_reset=True)

    def forward(self, x):
        for part in x.split(3):
            out = self.sn(self.fc(part))
            out += part
        return out


def test_spikes_may_be_changed_in_place():
    """The second call of the node begins with a state that carries a gradient."""
    (plain, p, _), (fast, q, _) = both(Residual, Fixed)
    close(step(fast, q), step(plain, p))


def test_no_gradient_and_eval_mode():
    (plain, _, _), (fast, _, _) = both(lambda: network(store_v_seq=True))
    for net in (plain, fast):
        reset(net)
        net.eval()
    with torch.no_grad():
        assert torch.equal(plain(inputs()), fast(inputs()))
        torch.testing.assert_close(states(fast), states(plain))
        torch.testing.assert_close(fast(inputs()), plain(inputs()))  # from the states


@pytest.mark.skipif(torch._dynamo.config.disable, reason='torch.compile is switched off')
@pytest.mark.usefixtures('compiler')
def test_compiled_kernels(monkeypatch):
    """Large tensors run in kernels that a compiler makes."""
    monkeypatch.setattr(fused, 'SMALL', 1)
    (plain, p, _), (fast, q, _) = both(lambda: network('LIFNode', tau=2.25))
    close(step(fast, q), step(plain, p))


def test_autocast():
    (net, policy, layers) = both(lambda: network('ParametricLIFNode'))[1]
    net.float()
    with torch.autocast('cpu', torch.bfloat16):
        out = net(inputs().float())
    assert net.n1.v.dtype == out.dtype == torch.bfloat16
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in net.parameters())
    assert all(layer.beta.dtype == torch.float32 and (layer.beta != 1).any() for layer in layers.values())


@pytest.mark.skipif(torch._dynamo.config.disable, reason='torch.compile is switched off')
def test_compiling_over_a_search():
    (net, _, _) = both(network)[1]
    with pytest.raises(ConfigError, match=r'n1 \(LIFNode\).*torch.compile'):
        torch.compile(net, backend='eager')(inputs())


def test_the_node_stays_itself():
    net = network('ParametricLIFNode', init_tau=3.0)
    expected, keys = step(net), [*net.state_dict()]
    parameters = [*net.parameters()]
    policy = A2SG()
    attach(net, policy, fuse=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert [*net.state_dict()] == keys and all(a is b for a, b in zip(net.parameters(), parameters))
    w = net.n1.w.detach().clone()
    step(net, policy)
    optimizer.step()
    assert net.n1.w != w
    net.n1.w.data.copy_(w)
    optimizer.param_groups[0]['lr'] = 0.0
    for name in (net.n1, net.n2):
        name.reset()
    twins = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    detach(net)
    assert 'multi_step_forward' not in vars(net.n1)
    for twin in twins:
        assert twin.n1.multi_step_forward.__self__ is twin.n1 and not isinstance(twin.n1.multi_step_forward, FusedSteps)
        layers = attach(twin, A2SG(), fuse=True)
        assert layers['n1'].fused
        step(twin)
        detach(twin)
        assert not isinstance(twin.n1.multi_step_forward, FusedSteps)
    net.load_state_dict(network('ParametricLIFNode', init_tau=3.0).state_dict())
    close(step(net), expected)


class Other(neuron.LIFNode):
    def single_step_functional_forward(self, inputs, states, **kwargs):
        return super().single_step_functional_forward(inputs, (states[0] * 0.5,), **kwargs)


class Renamed(neuron.LIFNode):
    pass


def graded():
    from spikingjelly.activation_based import surrogate

    return neuron.LIFNode(step_mode='m', surrogate_function=surrogate.MultiLevelSpikeCount(2))


LEFT = {
    'KLIFNode': lambda: neuron.KLIFNode(step_mode='m'),
    'LIFNode one': lambda: neuron.LIFNode(),
    'Other': lambda: Other(step_mode='m'),
    'LIFNode above': lambda: neuron.LIFNode(step_mode='m', surrogate_function=lambda z: (z > 0).to(z.dtype)),
    'LIFNode graded': graded,
}


@pytest.mark.parametrize('name', LEFT)
def test_what_cannot_be_fused_is_left_and_named(name, monkeypatch):
    from a2sg_zoo.adaptation import attachment

    told = []
    monkeypatch.setattr(attachment, 'print_log', lambda text, *args: told.append(text))
    kind = name.split()[0]
    net = nn.ModuleDict(dict(a=LEFT[name](), b=Renamed(step_mode='m')))
    layers = attach(net, A2SG(), fuse=True)
    assert [layer.fused for layer in layers.values()] == [False, True]
    assert len(told) == 1 and f'a ({kind})' in told[0] and 'b (' not in told[0]
    alone = LEFT[name]()
    fire = alone.surrogate_function
    with pytest.raises(ConfigError, match=rf'\({kind}\)'):
        attach(nn.Sequential(alone), A2SG(), fuse=True)
    assert alone.surrogate_function is fire and 'multi_step_forward' not in vars(alone)


def test_another_number_of_time_steps():
    (net, policy, _) = both(network)[1]
    step(net, policy)
    with pytest.raises(ConfigError, match=r'n1 \(LIFNode\).*T = 4.*T = 2'):
        step(net, policy, 1, x=inputs()[:2])
    net.eval()
    reset(net)
    assert net(inputs()[:2]).shape[0] == 2 != T


def test_the_node_steps_one_at_a_time_after_a_change_of_its_mode():
    (plain, p, layers), (fast, q, fast_layers) = both(network)
    for net in (plain, fast):
        net.n1.step_mode = net.n2.step_mode = 's'

    def run(net, policy):
        reset(net)
        policy.begin(0)
        net.zero_grad()
        torch.stack([net(x) for x in inputs()]).square().mean().backward()
        return {name: p.grad for name, p in net.named_parameters()}

    close(run(fast, q), run(plain, p))
    assert all(torch.equal(fast_layers[key].beta, layers[key].beta) for key in layers)


def test_the_probe_sees_the_shape_that_acts():
    """A probe runs the node as it is, and leaves the fused node as it was."""
    from a2sg_zoo import probe

    (plain, p, _), (fast, q, layers) = both(lambda: network('ParametricLIFNode'))
    found = []
    for net, policy in ((plain, p), (fast, q)):
        step(net, policy)
        reset(net)
        found.append(str(probe(net)))
    assert found[0] == found[1]
    before = {key: layer.beta.clone() for key, layer in layers.items()}
    step(fast, q, 1, inputs(5.0, 4))
    assert any(not torch.equal(before[key], layer.beta) for key, layer in layers.items())
