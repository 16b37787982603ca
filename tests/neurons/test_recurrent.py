"""Feedback around any neuron: the same windows for two ways to write one neuron, and gradients of plain autograd."""

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.losses import IMLoss, MembraneKL, RMPLoss
from a2sg_zoo.neurons import NILIF, Recurrent, compute_reference, recorded_potentials, use_backend

from .networks import Leaky, Perceptron, T, assert_same, inputs, step

KINDS = {
    name: dict(type=name)
    for name in ('IF', 'LIF', 'PLIF', 'ALIF', 'SynapticLIF', 'QIF', 'EIF', 'Izhikevich', 'KLIF', 'CLIF', 'SlidingPSN')
}
KINDS['GLIF'] = dict(type='GLIF', T=T)


def network(config):
    def make():
        torch.manual_seed(3)
        layer = Recurrent(config, features=40)
        layer.feedback.weight.data *= 2
        layer.neuron.set_time_steps(T) if layer.neuron.time_steps is None else None
        return layer

    return Perceptron(make)


def test_two_ways_to_write_one_neuron_choose_the_same_windows():
    networks = [network(dict(type=kind)) for kind in ('LIF', Leaky)]
    policies = [A2SG(beta_min=0.3) for _ in networks]
    layers = [attach(*both) for both in zip(networks, policies)]
    for iteration in range(2):
        assert_same(*(step(*both, iteration) for both in zip(networks, policies)))
    assert [*layers[0]] == ['n1.neuron', 'n2.neuron']
    for name, neuron in layers[0].items():
        torch.testing.assert_close(layers[1][name].beta, neuron.beta, rtol=1e-12, atol=0)
        assert neuron.beta.unique().numel() > 1


@pytest.mark.parametrize('name', KINDS)
def test_gradients_are_those_of_plain_autograd_under_the_chosen_windows(name):
    model, policy = network(KINDS[name]), A2SG(beta_min=0.3)
    layers = attach(model, policy)
    found = step(model, policy)
    assert found['n1.feedback.weight'].abs().max() > 0 and any((layer.beta != 1).any() for layer in layers.values())
    with use_backend(model, compute_reference):
        assert_same(step(model), found)


def test_two_calls_over_two_halves_equal_one():
    results = []
    for split in (None, 2):
        model, policy = network(dict(type='ALIF')).n1, A2SG(beta_min=0.3)
        model.double()
        attach(model, policy)
        policy.begin(0)
        x = torch.cat([inputs()] * 7, -1)[..., :40].requires_grad_()
        if split is None:
            s = model(x)
        else:
            first, state = model.advance(x[:split])
            s = torch.cat([first, model.advance(x[split:], state)[0]])
        (s * s.cumsum(0)).sum().backward()
        results.append(dict(s=s, x=x.grad, w=model.feedback.weight.grad, beta=model.neuron.beta))
    assert_same(results[1], results[0])
    # through a detached state no gradient flows
    x = x.detach().requires_grad_()
    _, state = model.advance(x[:2])
    model.advance(x.detach()[2:], state.detach())[0].sum().backward()
    assert x.grad is None


@pytest.mark.parametrize('kind', ['LIF', 'ALIF'])
def test_potentials_are_one_entry_as_without_feedback(kind):
    layer = Recurrent(dict(type=kind), features=5)
    layer.feedback.weight.data.zero_()
    x, found = 2 * torch.rand(6, 3, 5), []
    for network in (layer, layer.neuron):
        with recorded_potentials(network) as potentials:
            network(x)
        found.append(potentials)
    ((_, u),), ((neuron, expected),) = found
    torch.testing.assert_close(u, expected)
    assert found[0][0][0] is neuron
    for loss in (IMLoss(), RMPLoss(), MembraneKL()):
        torch.testing.assert_close(loss(found[0]), loss(found[1]))


def test_integer_neurons_receive_their_counts():
    layer = Recurrent(dict(type='NILIF', levels=2, decay=0.0), features=1)
    layer.feedback.weight.data.fill_(2.0)
    s = layer(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1))
    assert isinstance(layer.neuron, NILIF) and s.flatten().tolist() == [0.5, 0.5, 0.5]


def test_bad_input():
    for kind in ('PSN', 'MaskedPSN'):
        with pytest.raises(ConfigError, match=kind):
            Recurrent(dict(type=kind, T=T), features=3)
    with pytest.raises(ConfigError, match='features'):
        Recurrent(dict(type='LIF'), features=0)
    layer = Recurrent(dict(type='LIF'), features=3)
    for x in (torch.zeros(T, 2, 4), torch.zeros(T, 3), torch.zeros(0, 2, 3)):
        with pytest.raises(ConfigError, match='features=3'):
            layer(x)
    for state in ((torch.zeros(2, 3),), (0.0, None), ()):
        with pytest.raises(ConfigError, match=r'Recurrent.*\(2, 3\)'):
            layer.advance(torch.zeros(T, 2, 3), state)
