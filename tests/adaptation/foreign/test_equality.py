"""Searches in networks of other libraries: the same windows as ours where the dynamics are the same, and everywhere the
gradient of plain autograd under the windows that were chosen. All in float64."""

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, CPNG, LSG, MPDAGL, SASG, STASG, TASG, EvolvingTanh, Fixed, attach, detach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import IF, LIF, PLIF

from .networks import (
    Folded,
    Hidden,
    Images,
    Keywords,
    MultiStep,
    SingleStep,
    States,
    T,
    braincog_nodes,
    inputs,
    reference_gradients,
    step,
)


def sj(name, step_mode='m', **kwargs):
    def make(features):
        neuron = pytest.importorskip('spikingjelly.activation_based.neuron')
        return getattr(neuron, name)(step_mode=step_mode, **kwargs)

    return make


def fires(z):
    return (z > 0).to(z.dtype)


def snn(name, **kwargs):
    def make(features):
        library = pytest.importorskip('snntorch')
        learned = {key: torch.full((features,), 0.9) for key in ('V',) if kwargs.get('all_to_all') is False}
        # snnTorch's own spike functions answer in float32
        return getattr(library, name)(spike_grad=fires, **{**learned, **kwargs})

    return make


class Fires(torch.nn.Module):
    """BrainCog's own spike functions answer in float32."""

    def __init__(self, alpha, requires_grad):
        super().__init__()
        self.alpha = torch.nn.Parameter(torch.tensor(float(alpha)), requires_grad=requires_grad)

    def forward(self, z):
        return fires(z)


def cog(name, **kwargs):
    def make(features):
        return getattr(braincog_nodes(), name)(act_fun=Fires, step=T, **kwargs)

    return make


def norse(name, recurrent=False, p=None, **kwargs):
    def make(features):
        library = pytest.importorskip('norse.torch')
        parameters = {} if p is None else dict(p=p(library))
        return getattr(library, name)(*((features, features) if recurrent else ()), **parameters, **kwargs)

    return make


SJ = dict(
    IF=sj('IFNode', detach_reset=True),
    IF_soft=sj('IFNode', v_reset=None),
    LIF=sj('LIFNode', tau=2.0, detach_reset=True),
    LIF_not_detached=sj('LIFNode', tau=3.0),
    LIF_soft=sj('LIFNode', tau=2.0, v_reset=None, detach_reset=True),
    LIF_soft_not_detached=sj('LIFNode', tau=2.0, v_reset=None),
    LIF_summed=sj('LIFNode', tau=2.0, decay_input=False, detach_reset=True),
    PLIF=sj('ParametricLIFNode', init_tau=2.5, detach_reset=True),
)
SAME = dict(
    IF=IF,
    IF_soft=lambda **k: IF(reset='soft', detach_reset=False, **k),
    LIF=LIF,
    LIF_not_detached=lambda **k: LIF(tau=3.0, detach_reset=False, **k),
    LIF_soft=lambda **k: LIF(reset='soft', **k),
    LIF_soft_not_detached=lambda **k: LIF(reset='soft', detach_reset=False, **k),
    LIF_summed=lambda **k: LIF(decay_input=False, **k),
    PLIF=lambda **k: PLIF(tau=2.5, **k),
)


def pair(name, step_mode):
    kind = MultiStep if step_mode == 'm' else SingleStep
    theirs = kind(lambda features: with_mode(SJ[name](features), step_mode))
    return MultiStep(lambda features: SAME[name](T=T)), theirs


def with_mode(neuron, step_mode):
    neuron.step_mode = step_mode
    return neuron


@pytest.mark.parametrize('policy', [A2SG, STASG, SASG, TASG, MPDAGL, CPNG, LSG])
@pytest.mark.parametrize('step_mode', ['m', 's'])
@pytest.mark.parametrize('name', SJ)
def test_spikingjelly_chooses_our_windows(name, step_mode, policy):
    if policy is LSG and name != 'PLIF':
        pytest.skip('LSG follows a learned decay')
    networks = pair(name, step_mode)
    options = {CPNG: dict(warm_up=1, momentum=0.5), LSG: dict(tau=2.0)}.get(policy, {})
    policies = [policy(**options) for _ in networks]
    ours, theirs = (attach(*both) for both in zip(networks, policies))
    for iteration in range(3):
        x = inputs(1.0 + iteration, iteration)
        gradients = [step(n, p, iteration, x, observe=True) for n, p in zip(networks, policies)]
        for a, b in zip(*(g.values() for g in gradients)):
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-15)
        for key, layer in ours.items():
            torch.testing.assert_close(theirs[key].beta.expand(T), layer.beta, rtol=1e-12, atol=0)
            records = policies[0].records[layer], policies[1].records[theirs[key]]
            for a, b in zip(*(record.values() for record in records)):
                torch.testing.assert_close(b, a)
    assert any((layer.beta != layer.surrogate.beta).any() for layer in ours.values())


@pytest.mark.parametrize('steps', [[0, 1, 2, 3], [0, 3], [0, 2], [0]], ids=str)
def test_spikingjelly_shares_widths_as_we_do(steps):
    """Where no gradient reaches the last spikes of a block, there is no search: their width stays, and serves it."""
    (ours, theirs), x = pair('LIF', 's'), inputs()
    policies = [A2SG(steps_per_width=2) for _ in range(2)]
    layers, same = attach(ours, policies[0]), attach(theirs, policies[1])
    before = torch.tensor([0.5, 0.625, 0.75, 0.875])
    for layer, policy in zip((layers['n2'], same['n2']), policies):
        layer.set_widths(before)
        policy.begin(0)
    for outputs in (ours(x), [theirs(x_t[None])[0] for x_t in x]):
        sum(outputs[t].square().sum() for t in steps).backward()
    torch.testing.assert_close(theirs.fc1.weight.grad, ours.fc1.weight.grad, rtol=1e-10, atol=1e-15)
    for key, layer in layers.items():
        torch.testing.assert_close(same[key].beta[steps], layer.beta[steps])
    assert (layers['n2'].beta[0] == before[1]) == (1 not in steps)


@pytest.mark.parametrize('searcher', ['ExactSearcher', 'TPESearcher'])
@pytest.mark.parametrize('kind', [States, Hidden])
def test_snntorch_leaky_chooses_our_windows(kind, searcher):
    """With a reset to zero its equations are those of our LIF with a summed input."""
    theirs = kind(snn('Leaky', beta=0.5, reset_mechanism='zero', init_hidden=kind is Hidden))
    ours = MultiStep(lambda features: LIF(tau=2.0, decay_input=False, T=T))
    policies = [A2SG(searcher=dict(type=searcher), sample=None if searcher == 'ExactSearcher' else 128) for _ in 'ab']
    layers = [attach(n, p) for n, p in zip((ours, theirs), policies)]
    for iteration in range(2):
        x = inputs(1.0 + iteration, iteration)
        gradients = [step(n, p, iteration, x) for n, p in zip((ours, theirs), policies)]
        for name in ('fc1.weight', 'fc2.weight'):
            torch.testing.assert_close(gradients[1][name], gradients[0][name], rtol=1e-10, atol=1e-15)
        assert all(torch.equal(layers[0][key].beta, layers[1][key].beta) for key in layers[0])


COG = dict(
    IF=(cog('IFNode', threshold=1.0), IF),
    LIF=(cog('LIFNode', tau=2.0), lambda **k: LIF(v_threshold=0.5, **k)),
    PLIF=(cog('PLIFNode', tau=2.5), lambda **k: PLIF(tau=2.5, **k)),
)


@pytest.mark.parametrize('policy', [A2SG, STASG, SASG, TASG, MPDAGL, CPNG, LSG])
@pytest.mark.parametrize('name', COG)
def test_braincog_chooses_our_windows(name, policy):
    if policy is LSG and name != 'PLIF':
        pytest.skip('LSG follows a learned decay')
    make, own = COG[name]
    networks = MultiStep(lambda features: own(T=T)), SingleStep(make)
    policies = [policy(**(dict(warm_up=1, momentum=0.5) if policy is CPNG else {})) for _ in networks]
    ours, theirs = (attach(*both) for both in zip(networks, policies))
    for iteration in range(3):
        x = inputs(1.0 + iteration, iteration)
        gradients = [step(n, p, iteration, x) for n, p in zip(networks, policies)]
        assert gradients[0].keys() <= gradients[1].keys()
        for key, g in gradients[0].items():
            torch.testing.assert_close(gradients[1][key], g, rtol=1e-10, atol=1e-15)
        for key, layer in ours.items():
            torch.testing.assert_close(theirs[key].beta.expand(T), layer.beta, rtol=1e-12, atol=0)


def test_a_parameter_of_the_spike_function_stays_in_the_state_dict():
    network = SingleStep(cog('PLIFNode', tau=2.5))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    attach(network, A2SG())
    assert network.state_dict().keys() == before.keys() and 'n1.act_fun.alpha' in before
    network.load_state_dict({**before, 'n1.act_fun.alpha': torch.tensor(3.0)})
    detach(network)
    assert network.n1.act_fun.alpha.item() == 3 and type(network.n1.act_fun) is Fires


@pytest.mark.parametrize('name', ['BurstLIFNode', 'DoubleSidePLIFNode', 'HTDGLIFNode'])
def test_braincog_nodes_without_single_spikes_are_refused(name):
    with pytest.raises(ConfigError, match=rf'n1 \({name}\)'):
        attach(SingleStep(lambda features: getattr(braincog_nodes(), name)()), A2SG())


TABLE = {
    **{f'SpikingJelly {name}': (MultiStep, make) for name, make in SJ.items()},
    'SpikingJelly LIF, single step': (SingleStep, sj('LIFNode', 's', tau=2.0)),
    'SpikingJelly PLIF, single step': (SingleStep, sj('ParametricLIFNode', 's', init_tau=2.0)),
    'SpikingJelly KLIF': (MultiStep, sj('KLIFNode', tau=2.0)),
    'SpikingJelly KLIF, scaled reset': (SingleStep, sj('KLIFNode', 's', scale_reset=True, detach_reset=True)),
    'SpikingJelly QIF': (MultiStep, sj('QIFNode', tau=2.0)),
    'SpikingJelly EIF': (SingleStep, sj('EIFNode', 's', tau=2.0, detach_reset=True)),
    'SpikingJelly Izhikevich': (MultiStep, sj('IzhikevichNode', tau=2.0)),
    'SpikingJelly Izhikevich, single step': (SingleStep, sj('IzhikevichNode', 's', tau=2.0)),
    'SpikingJelly GatedLIF': (Images, lambda features: sj('GatedLIFNode', T=T, inplane=features)(features)),
    'snnTorch Leaky': (States, snn('Leaky', beta=0.7)),
    'snnTorch Leaky, no reset': (States, snn('Leaky', beta=0.7, reset_mechanism='none')),
    'snnTorch Leaky, learned': (States, snn('Leaky', beta=0.7, learn_beta=True, learn_threshold=True)),
    'snnTorch Leaky, learned, by keywords': (Keywords, snn('Leaky', beta=0.7, learn_beta=True, learn_threshold=True)),
    'snnTorch Leaky, reset at once': (States, snn('Leaky', beta=0.7, reset_delay=False)),
    'snnTorch Leaky, reset to zero at once': (
        Hidden,
        snn('Leaky', beta=0.7, reset_mechanism='zero', reset_delay=False, init_hidden=True),
    ),
    'snnTorch Leaky, graded': (States, snn('Leaky', beta=0.7, graded_spikes_factor=0.5)),
    'snnTorch Synaptic': (States, snn('Synaptic', alpha=0.6, beta=0.5)),
    'snnTorch Synaptic, hidden, learned threshold': (
        Hidden,
        snn('Synaptic', alpha=0.6, beta=0.5, init_hidden=True, learn_threshold=True),
    ),
    'snnTorch RLeaky': (Hidden, snn('RLeaky', beta=0.5, all_to_all=False, init_hidden=True)),
    'snnTorch Alpha': (States, snn('Alpha', alpha=0.8, beta=0.6)),
    'snnTorch Lapicque': (States, snn('Lapicque', R=2.0, C=1.0, time_step=1.0)),
    'BrainCog IF': (SingleStep, cog('IFNode', threshold=1.0)),
    'BrainCog IF, learned threshold': (
        SingleStep,
        cog('IFNode', threshold=1.0, requires_thres_grad=True, sigmoid_thres=True),
    ),
    'BrainCog LIF': (SingleStep, cog('LIFNode', tau=2.0)),
    'BrainCog LIF, layer by layer': (Folded, cog('LIFNode', tau=2.0, layer_by_layer=True)),
    'BrainCog LIF, cut time': (SingleStep, cog('LIFNode', tau=2.0, mem_detach=True)),
    'BrainCog LIF, learned threshold': (SingleStep, cog('LIFNode', tau=2.0, requires_thres_grad=True)),
    'BrainCog PLIF': (SingleStep, cog('PLIFNode', tau=2.5)),
    'BrainCog PLIF, layer by layer': (Folded, cog('PLIFNode', tau=2.5, layer_by_layer=True)),
    'norse LIF': (MultiStep, norse('LIF', dt=0.02)),
    'norse LIFCell': (States, norse('LIFCell', dt=0.02)),
    'norse LIFCell, learned threshold': (
        States,
        norse('LIFCell', dt=0.02, p=lambda n: n.LIFParameters(v_th=torch.nn.Parameter(torch.tensor(0.8)))),
    ),
    'norse LIFRecurrentCell': (States, norse('LIFRecurrentCell', recurrent=True, dt=0.02)),
    'norse LIFBoxCell': (States, norse('LIFBoxCell', dt=0.02)),
    'norse LSNNCell': (States, norse('LSNNCell', dt=0.02)),
}


@pytest.mark.parametrize('policy', [A2SG, STASG])
@pytest.mark.parametrize('name', TABLE)
def test_gradients_are_those_of_plain_autograd_under_the_chosen_windows(name, policy):
    kind, make = TABLE[name]
    network = kind(make)
    policy = policy(beta_min=0.3)
    layers = attach(network, policy)
    step(network, policy)
    found = step(network, policy, iteration=1)
    assert list(layers) == ['n1', 'n2'] and all(layer.beta.shape == (T,) for layer in layers.values())
    assert any((layer.beta != 1).any() for layer in layers.values())
    assert any('readout' not in key and g.abs().max() > 0 for key, g in found.items())
    detach(network)
    expected = reference_gradients(network, layers)
    assert found.keys() == expected.keys()
    for key, g in expected.items():
        torch.testing.assert_close(found[key], g, rtol=1e-9, atol=1e-14, msg=key)


@pytest.mark.parametrize('name', ['SpikingJelly LIF', 'snnTorch Leaky', 'norse LIF'])
@pytest.mark.parametrize('policy', [Fixed(dict(type='ATan')), Fixed(dict(type='ASY')), EvolvingTanh()], ids=repr)
def test_fixed_and_evolving_shapes(name, policy):
    kind, make = TABLE[name]
    network = kind(make)
    layers = attach(network, policy)
    found = step(network, policy, progress=0.5)
    detach(network)
    expected = reference_gradients(network, layers)
    for key, g in expected.items():
        torch.testing.assert_close(found[key], g, rtol=1e-9, atol=1e-14)
