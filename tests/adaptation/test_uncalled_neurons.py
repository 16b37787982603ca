"""Neurons that the network does not call, or that ask no controller, are named; and networks that are not called."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF, compute_reference, hold_widths, named_neurons

T = 4


class Network(nn.Module):
    """Two layers of neurons behind linear maps: (T, B, 6) to (T, B, 5)."""

    def __init__(self, **neuron):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 40), LIF(**neuron)
        self.fc2, self.lif2 = nn.Linear(40, 30), LIF(v_threshold=0.5, **neuron)
        self.readout = nn.Linear(30, 5)

    def forward(self, x):
        return self.readout(self.lif2(self.fc2(self.lif1(2 * self.fc1(x)))))


def step(model, policy, x, **begin):
    policy.begin(**{'iteration': 0, **begin})
    model.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    return loss


@pytest.fixture
def x():
    return torch.randn(T, 8, 6, dtype=torch.float64)


class OwnForward(LIF):
    def forward(self, x):
        return LIF.forward(self.eval(), x)


def test_a_neuron_that_asks_no_controller_is_named(x):
    class Half(Network):
        def __init__(self):
            super().__init__()
            self.lif2 = OwnForward(v_threshold=0.5)

    model, policy = Half().double(), A2SG()
    attach(model, policy)
    step(model, policy, x)
    with pytest.raises(ConfigError, match='lif2.*OwnForward') as error:
        policy.begin(1)
    assert 'lif1' not in str(error.value)
    fixed = Half().double()
    attach(fixed, policy := Fixed())  # there is nothing to ask
    step(fixed, policy, x)
    policy.begin(1)


def test_a_neuron_that_the_network_does_not_call_is_named(x):
    class Spare(Network):
        def __init__(self):
            super().__init__()
            self.spare = LIF()

    model, policy = Spare().double(), A2SG()
    attach(model, policy)
    step(model, policy, x)
    with pytest.raises(ConfigError, match=r'spare \(LIF\)') as error:
        policy.begin(1)
    assert 'lif1' not in str(error.value)
    # as it is no part of what is trained now, there is nothing to say
    model, policy = Spare().double(), A2SG()
    attach(model, policy)
    model.spare.eval()
    step(model, policy, x)
    policy.begin(1)


def test_a_backend_that_asks_no_controller_is_named(x):
    model, policy = Network().double(), A2SG()
    attach(model, policy)
    model.lif2.backend = compute_reference
    step(model, policy, x)
    with pytest.raises(ConfigError, match=r'lif2 \(LIF\)'):
        policy.begin(1)


def in_chunks(model, x):
    s, state = model.lif1.advance(2 * model.fc1(x[:3]))
    s = torch.cat([s, model.lif1.advance(2 * model.fc1(x[3:]), state)[0]])
    return model.readout(model.lif2(model.fc2(s)))


CALLS = {
    'a method': lambda model, x: model.forward(x),
    'in turn': lambda model, x: model.forward(x) if x.abs().max() > 4 else model(x),
    'chunks': in_chunks,
    'checkpointed': lambda model, x: checkpoint(model.forward, x.requires_grad_(), use_reentrant=False),
    'checkpointed, reentrant': lambda model, x: checkpoint(model.forward, x.requires_grad_(), use_reentrant=True),
}


@pytest.mark.parametrize('call', CALLS.values(), ids=CALLS)
def test_a_step_begins_where_the_network_itself_is_not_called(call, x):
    widths = []
    for run in (lambda model, x: model(x), call):
        torch.manual_seed(0)
        model, policy = Network().double(), A2SG(interval=2)
        attach(model, policy, T)
        for i in range(5):
            run(model, (1 + i) * x.detach().clone()).square().mean().backward()
            with hold_widths(model):  # no training step
                model.forward(x)
            widths.append(torch.cat([neuron.beta for neuron in named_neurons(model).values()]))
        assert policy.searches == dict(spatial=6, temporal=18)
    assert all(torch.equal(a, b) for a, b in zip(widths[:5], widths[5:]))


def test_a_neuron_that_the_network_calls_twice_begins_no_step(x):
    class Twice(Network):
        def forward(self, x):
            return super().forward(x) + super().forward(-x)

    model, policy = Twice().double(), A2SG(interval=2)
    attach(model, policy)
    for _ in range(3):
        model(x).square().mean().backward()
    assert policy.searches['spatial'] == 2 * 2 * 2  # two layers, called twice, in the first step and the third


def test_a_forward_pass_that_fails_leaves_nothing_behind(x):
    model, policy = Network().double(), A2SG()
    attach(model, policy)
    with pytest.raises(RuntimeError):
        model(x[..., :5])
    model.forward(x).square().mean().backward()
    model.forward(x).square().mean().backward()
    assert policy.searches['spatial'] == 4 and policy._seed == (0, 2)
