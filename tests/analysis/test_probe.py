"""The surrogate that acts, measured in every supported neuron, against formulas that are written down here."""

import copy
import warnings

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, Adapter, Fixed, adapter, attach, detach
from a2sg_zoo.analysis.probe import probe
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.models.backbones import VGGSNN
from a2sg_zoo.neurons import ALIF, IF, ILIF, LIF, PLIF, PSN
from a2sg_zoo.registry import SURROGATES
from tests.adaptation.foreign.networks import MultiStep, SingleStep, braincog_nodes, inputs, reset, step
from tests.adaptation.foreign.test_equality import SJ, TABLE, norse, sj
from tests.marks import slow_unless

OURS = dict(
    IF=lambda **k: IF(**k),
    LIF=lambda **k: LIF(**k),
    PLIF=lambda **k: PLIF(tau=3.0, reset='soft', detach_reset=False, **k),
    ALIF=lambda **k: ALIF(**k),
    PSN=lambda **k: PSN(**k),
)
LIBRARIES = ['SpikingJelly LIF', 'snnTorch Leaky', 'norse LIF', 'BrainCog LIF']


def one(neuron):
    return nn.Sequential(nn.Linear(6, 4), neuron).double()


def largest_difference(network):
    (found,) = probe(network).values()
    return float((found.acting - found.expected).abs().max())


@pytest.mark.parametrize('surrogate', SURROGATES.own_names())
@pytest.mark.parametrize('neuron', OURS)
def test_our_neurons_have_the_surrogate_that_they_declare(neuron, surrogate):
    assert largest_difference(one(OURS[neuron](surrogate=dict(type=surrogate), T=3))) < 1e-14


@pytest.mark.parametrize('surrogate', SURROGATES.own_names())
@pytest.mark.parametrize('name', LIBRARIES)
def test_attached_neurons_have_the_surrogate_of_the_policy(name, surrogate):
    network = one(TABLE[name][1](4))
    attach(network, Fixed(dict(type=surrogate)))
    assert largest_difference(network) == 0


@pytest.mark.parametrize('name', slow_unless(TABLE, list(TABLE)[::3]))
def test_every_supported_neuron_can_be_probed(name):
    kind, make = TABLE[name]
    network = kind(make)
    policy = A2SG(beta_min=0.3)
    layers = attach(network, policy)
    step(network, policy)
    found = probe(network)
    assert list(found) == ['n1', 'n2']
    for key, layer in found.items():
        z, widths = layer.z, layers[key].beta
        # ASY, written down once more
        expected = torch.stack([(z / (2 * b) + 0.5) * (z.abs() <= b) for b in widths])
        assert widths.numel() == 4 and torch.allclose(layer.acting, expected, rtol=0, atol=1e-14), key
        assert not layer.differs and layer.acts_like.startswith('ASY')


@pytest.mark.parametrize('name', ['IF', 'LIF_not_detached', 'LIF_soft', 'PLIF'])
def test_neurons_that_our_fused_neuron_computes(name):
    network, policy = MultiStep(SJ[name]), A2SG(beta_min=0.3)
    layers = attach(network, policy, fuse=True)
    step(network, policy)
    before = {key: layer.beta.clone() for key, layer in layers.items()}
    for key, layer in probe(network).items():
        z = layer.z
        expected = torch.stack([(z / (2 * b) + 0.5) * (z.abs() <= b) for b in layers[key].beta])
        assert layer.expected.shape[0] > 1 and torch.allclose(layer.acting, expected, rtol=0, atol=1e-13)
    assert all(torch.equal(layers[key].beta, beta) for key, beta in before.items())
    policy.begin(1)


# the libraries' own


def jelly(name, **kwargs):
    def make():
        surrogate = pytest.importorskip('spikingjelly.activation_based.surrogate')
        return sj('LIFNode', tau=2.0, surrogate_function=getattr(surrogate, name)(**kwargs))(4)

    return make


def torched(name, **kwargs):
    def make():
        surrogate = pytest.importorskip('snntorch.surrogate')
        return pytest.importorskip('snntorch').Leaky(beta=0.9, spike_grad=getattr(surrogate, name)(**kwargs))

    return make


def norsed(method, alpha):
    return lambda: norse('LIF', p=lambda n: n.LIFParameters(method=method, alpha=alpha))(4)


def cogged(name):
    return lambda: braincog_nodes().LIFNode(act_fun=name)


one_ = torch.ones((), dtype=torch.float64)
OWN = {
    'SpikingJelly Sigmoid': (jelly('Sigmoid', alpha=3.0), lambda z: 3 * torch.sigmoid(3 * z) * torch.sigmoid(-3 * z)),
    'SpikingJelly ATan': (jelly('ATan'), lambda z: 1 / (1 + (torch.pi * z) ** 2)),
    'SpikingJelly PiecewiseQuadratic': (jelly('PiecewiseQuadratic', alpha=2.0), lambda z: (2 - 4 * z.abs()).relu()),
    'SpikingJelly PiecewiseExp': (jelly('PiecewiseExp'), lambda z: torch.exp(-z.abs()) / 2),
    'SpikingJelly SoftSign': (jelly('SoftSign'), lambda z: 1 / (1 + 2 * z.abs()) ** 2),
    'SpikingJelly SuperSpike': (jelly('SuperSpike', alpha=2.0), lambda z: 2 / (1 + z.abs()) ** 2),
    'SpikingJelly NonzeroSignLogAbs': (jelly('NonzeroSignLogAbs'), lambda z: 1 / (1 + z.abs())),
    'SpikingJelly Erf': (jelly('Erf'), lambda z: 2 / torch.pi**0.5 * torch.exp(-4 * z * z)),
    'SpikingJelly Rect': (jelly('Rect'), lambda z: (z.abs() < 0.5).double()),
    'SpikingJelly PiecewiseLeakyReLU': (
        jelly('PiecewiseLeakyReLU', w=0.5, c=0.02),
        lambda z: torch.where(z.abs() <= 0.5, one_, 0.02 * one_),
    ),
    'SpikingJelly LeakyKReLU': (
        jelly('LeakyKReLU', leak=0.1, k=0.9),
        lambda z: torch.where(z < 0, 0.1 * one_, 0.9 * one_),
    ),
    'SpikingJelly QPseudoSpike': (jelly('QPseudoSpike'), lambda z: (1 + 2 * z.abs()) ** -2),
    'SpikingJelly S2NN': (
        jelly('S2NN'),
        lambda z: torch.where(z < 0, 4 * torch.sigmoid(4 * z) * torch.sigmoid(-4 * z), 1 / (z.abs() + 1)),
    ),
    'SpikingJelly DeterministicPass': (jelly('DeterministicPass'), torch.ones_like),
    'snnTorch fast_sigmoid': (torched('fast_sigmoid', slope=5), lambda z: 1 / (1 + 5 * z.abs()) ** 2),
    'snnTorch atan': (torched('atan'), lambda z: 1 / (1 + (torch.pi * z) ** 2)),
    'snnTorch sigmoid': (torched('sigmoid', slope=6), lambda z: 6 * torch.sigmoid(6 * z) * torch.sigmoid(-6 * z)),
    'snnTorch straight_through': (torched('straight_through_estimator'), torch.ones_like),
    'snnTorch spike_rate_escape': (torched('spike_rate_escape', slope=2), lambda z: 2 * torch.exp(-(z - 1).abs())),
    'snnTorch SFS': (torched('SFS', slope=5, B=0.5), lambda z: (z > 0.5) / (1 + 5 * z.abs()) ** 2),
    'norse triangle': (norsed('triangle', 0.25), lambda z: 0.25 * (1 - z.abs()).relu()),
    'BrainCog SigmoidGrad': (cogged('SigmoidGrad'), lambda z: 2 * torch.sigmoid(2 * z) * torch.sigmoid(-2 * z)),
    'BrainCog AtanGrad': (cogged('AtanGrad'), lambda z: 1 / (1 + (torch.pi * z) ** 2)),
    'BrainCog QGateGrad': (cogged('QGateGrad'), lambda z: (2 - 4 * z.abs()).relu()),
}
# the library's documentation and its code disagree; the second function is what its code computes
WRONG = {
    'norse super, alpha is not read': (norsed('super', 100.0), lambda z: 1 / (1 + z.abs()) ** 2),
    'norse tanh': (norsed('tanh', 4.0), lambda z: 1 - torch.tanh(4 * z) ** 2),
    'norse circ': (norsed('circ', 0.25), lambda z: 0.25**3 / (z * z + 0.25**2) ** 1.5),
    'snnTorch triangular': (torched('triangular'), lambda z: torch.where(z < 0, 1.0, -1.0).double()),
    'BrainCog GateGrad': (cogged('GateGrad'), lambda z: (z.abs() < 0.5).double()),
}


@pytest.mark.parametrize('name', OWN)
def test_surrogates_of_other_libraries(name):
    make, f = OWN[name]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        (found,) = probe(one(make())).values()
    assert torch.allclose(found.acting[0], f(found.z), rtol=0, atol=1e-14) and not found.differs
    assert found.difference < 1e-6  # BrainCog keeps alpha in float32


@pytest.mark.parametrize('name', WRONG)
def test_a_surrogate_that_is_not_the_documented_one(name):
    make, f = WRONG[name]
    with pytest.warns(UserWarning, match='1 '):
        (found,) = probe(one(make())).values()
    assert torch.allclose(found.acting[0], f(found.z), rtol=0, atol=1e-14) and found.differs


class Own(nn.Module):
    """A neuron of somebody's own; `path` says how its spikes leave it."""

    def __init__(self, path=lambda s: s):
        super().__init__()
        self.act, self.theta, self.path = Step.apply, 1.0, path

    def forward(self, x):
        return self.path(torch.stack([self.act(x_t - self.theta) for x_t in x]))


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, g):
        return g * 3 * torch.exp(-(ctx.saved_tensors[0] ** 2) / 2)


@adapter(Own)
class OwnAdapter(Adapter):
    spike_attribute, threshold_attribute = 'act', 'theta'


def test_a_neuron_of_ones_own_and_what_its_shape_is():
    (found,) = probe(one(Own())).values()
    assert torch.allclose(found.acting[0], 3 * torch.exp(-(found.z**2) / 2), rtol=0, atol=1e-14)
    assert found.difference is None and found.acts_like == '7.52 x Gaussian, width 1'


@pytest.mark.parametrize('path, told', [(torch.detach, 'no gradient'), (lambda s: s.detach() + 0 * s, 'Gaussian')])
def test_spikes_that_are_cut_from_the_graph(path, told):
    (found,) = probe(one(Own(path))).values()
    assert told in str(found.row())


class Never(Own):
    def forward(self, x):
        return torch.relu(x)


class NeverOurs(LIF):
    def forward(self, x):
        return torch.relu(x)


@pytest.mark.parametrize('neuron', [Never, NeverOurs])
def test_a_spike_function_that_is_never_called(neuron):
    with pytest.warns(UserWarning, match='1 '):
        (found,) = probe(one(neuron())).values()
    assert found.acting is None and found.differs and found.peak == 0


def test_surrogate_disable_of_snntorch_passes_no_gradient():
    snntorch = pytest.importorskip('snntorch')
    with pytest.warns(UserWarning, match='1 '):
        (found,) = probe(one(snntorch.Leaky(beta=0.9, surrogate_disable=True))).values()
    assert found.peak == 0


# the network is as it was


def test_an_attached_network_goes_on_as_if_nothing_had_been():
    results = []
    for look in (False, True):
        network, policy = MultiStep(sj('LIFNode', tau=2.0)), A2SG(interval=2, sample=64)
        layers = attach(network, policy)
        for i in range(4):
            if look:
                probe(network)
                probe(network, inputs(seed=i))
            reset(network)
            loss = network(inputs(1.0 + i, i)).square().mean()
            if look:
                probe(network)
            loss.backward()
            network.zero_grad()
        results.append({name: layer.beta.clone() for name, layer in layers.items()})
        assert all(layer.beta.numel() == 4 for layer in layers.values())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_states_modes_norms_and_random_numbers_stay():
    network = SingleStep(sj('LIFNode', 's', tau=2.0))
    network.n2.eval()
    network.add_module('norm', nn.BatchNorm1d(6).double())
    network(inputs())
    before = copy.deepcopy(network.state_dict()), network.n1.v, torch.get_rng_state()
    probe(network)
    probe(network, lambda network: (reset(network), network.norm(inputs()[0]), network(inputs())))
    assert network.n1.v is before[1] and torch.equal(torch.get_rng_state(), before[2])
    assert network.training and not network.n2.training and not network.n1._forward_hooks
    assert all(torch.equal(value, before[0][key]) for key, value in network.state_dict().items())
    assert type(network.n1.surrogate_function).__name__ == 'Sigmoid'


def test_with_an_example_neurons_that_do_not_run_alone_are_probed():
    snntorch = pytest.importorskip('snntorch')

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)
            self.lif = snntorch.RLeaky(beta=0.5, conv2d_channels=2, kernel_size=3)

        def forward(self, x):
            spikes, mem = self.lif.init_rleaky()
            for x_t in x:
                spikes, mem = self.lif(self.conv(x_t), spikes, mem)
            return spikes

    network = Network()
    with pytest.raises(A2SGError, match=r'lif \(RLeaky\).*example'):
        probe(network)
    (found,) = probe(network, torch.rand(2, 1, 1, 8, 8)).values()
    assert found.acts_like == 'ATan, width 0.5' and found.acting.shape == (1, 400)
    detached = attach(network, A2SG())['lif']
    network(torch.rand(2, 1, 1, 8, 8)).sum().backward()
    (found,) = probe(network, torch.rand(2, 1, 1, 8, 8)).values()
    assert found.acts_like.startswith('ASY') and detached.beta.shape == (2,)
    detach(network)


def test_a_whole_backbone_and_one_without_windows():
    network = VGGSNN(widths=(4, 8), in_channels=3, T=2)
    text = str(probe(network))
    assert text.count('\n') == 3 and 'features.1.neuron' in text
    with pytest.raises(ConfigError, match='ILIF'):
        probe(nn.Sequential(nn.Linear(2, 2), ILIF()))


def test_the_picture(tmp_path):
    with pytest.warns(UserWarning):
        found = probe(one(norsed('super', 100.0)()))
    for name in ('probe.png', 'probe.svg'):
        assert found.save(tmp_path / name) == tmp_path / name and (tmp_path / name).stat().st_size > 2000
    assert [line.get_label() for line in found.figure().axes[0].lines] == ['acting', 'declared']


@pytest.mark.parametrize('wrong, key', [(dict(reach=-1.0), 'reach'), (dict(points=2), 'points')])
def test_arguments_out_of_range(wrong, key):
    with pytest.raises(ConfigError, match=key):
        probe(one(LIF()), **wrong)
