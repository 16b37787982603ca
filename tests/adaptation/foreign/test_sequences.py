"""Which calls of a neuron are one sequence of time steps, and which calls begin a training step."""

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach
from tests.adaptation.foreign.networks import SingleStep, T, inputs, reset
from tests.adaptation.foreign.own import jelly


def leaky():
    return pytest.importorskip('snntorch').Leaky(beta=0.9)


class Network(nn.Module):
    def __init__(self, neuron, features=8):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2, self.n1 = nn.Linear(6, 8), nn.Linear(8, features), neuron


class TwoStates(Network):
    """One neuron that goes through two sequences in turn."""

    def forward(self, x):
        a, b, out = self.n1.reset_mem(), self.n1.reset_mem(), []
        for x_t in x:
            s, a = self.n1(self.fc1(x_t), a)
            s, b = self.n1(input_=self.fc2(s), mem=1.0 * b)
            out.append(s)
        return torch.stack(out)


@pytest.mark.parametrize('features', [8, 5])
def test_two_states_are_two_sequences(features):
    network, policy = TwoStates(leaky(), features), A2SG()
    layers = attach(network, policy)
    for _ in range(2):
        network(4 * inputs().float()).sum().backward()
    assert layers['n1'].beta.shape == (T,) and policy.searches == dict(spatial=4, temporal=4 * (T - 1))


class LearnedStart(Network):
    def __init__(self, neuron):
        super().__init__(neuron)
        self.start = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        mem, out = self.start.expand(x.shape[1], 8), []
        for x_t in x:
            s, mem = self.n1(self.fc1(x_t), mem)
            out.append(s)
        return torch.stack(out)


def test_a_learned_initial_state_begins_a_sequence():
    network, policy = LearnedStart(leaky()), A2SG()
    layers = attach(network, policy)
    network(4 * inputs().float())  # not trained on
    (network(4 * inputs().float()) + network(2 * inputs().float())).sum().backward()
    assert layers['n1'].beta.shape == (T,) and policy.searches == dict(spatial=2, temporal=2 * (T - 1))
    assert network.start.grad.isfinite().all()


class Twice(Network):
    def forward(self, x):
        return self.n1(self.fc1(x))[0] + self.n1(self.fc1(2 * x), state=None)[0]


def test_norse_without_a_state_begins_a_sequence():
    network, policy = Twice(pytest.importorskip('norse.torch').LIF()), A2SG()
    layers = attach(network, policy)
    network(20 * inputs().float()).sum().backward()
    assert layers['n1'].beta.shape == (T,) and policy.searches == dict(spatial=2, temporal=2 * (T - 1))


def searched_steps(network, policy, steps, run):
    """In which of the training steps the policy searched."""
    found, before = [], 0
    for i in range(steps):
        reset(network)
        run(network, inputs(seed=i)).sum().backward()
        found.append(policy.searches['spatial'] > before)
        before = policy.searches['spatial']
    return [i for i, searched in enumerate(found) if searched]


@pytest.mark.parametrize('outside', [False, True])
def test_time_steps_of_a_frozen_layer_are_no_training_steps(outside):
    network, policy = SingleStep(lambda features: jelly(step_mode='s')), A2SG(interval=4)
    network.fc1.requires_grad_(False)
    attach(network, policy)
    run = (lambda network, x: sum(network(x_t[None]) for x_t in x)) if outside else (lambda network, x: network(x))
    assert searched_steps(network, policy, 9, run) == [0, 4, 8]


class Encoder(SingleStep):
    """A neuron that is called twice in a forward pass, before another one."""

    def __init__(self):
        super().__init__(lambda features: jelly())

    def encode(self, x):
        self.n1.reset()
        return self.n1(self.fc1(x))

    def forward(self, x):
        return self.n2(self.fc2(self.encode(x) + self.encode(2 * x)))


def test_a_second_call_within_the_network_is_no_training_step():
    network, policy = Encoder(), A2SG(interval=2)
    attach(network, policy)
    assert searched_steps(network, policy, 5, lambda network, x: network(x)) == [0, 2, 4]


def test_a_trained_part_of_a_network_in_evaluation_counts_its_own_steps():
    network, policy = SingleStep(lambda features: jelly(step_mode='s')), A2SG(interval=2)
    attach(network, policy)
    network.eval()
    network.n2.train()
    assert searched_steps(network, policy, 5, lambda network, x: network(x)) == [0, 2, 4]
