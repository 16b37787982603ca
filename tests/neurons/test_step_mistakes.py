"""Neurons of users that break the rules of `StepNeuron`, and inputs that no neuron takes."""

import pytest
import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import ALIF, ILIF, LIF, PSN, Recurrent, StepNeuron

from .networks import Leaky, inputs


class NoCharge(StepNeuron):
    pass


class WrongShape(Leaky):
    def charge(self, state, x):
        return x.sum(0), state


class NoThreshold(Leaky):
    def threshold(self, state):
        return None


class LongState(Leaky):
    def reset(self, u, s, state):
        return (u.flatten(),)


class OneNumber(Leaky):
    def start(self, x):
        return 0.0


class LongStart(Leaky):
    def start(self, x):
        return (torch.zeros(3),)


class NoState(Leaky):
    def charge(self, state, x):
        return 0.5 * state[0] + x


@pytest.mark.parametrize('kind', [WrongShape, NoThreshold, LongState, OneNumber, LongStart, NoState])
def test_a_neuron_that_breaks_the_rules_is_named(kind):
    with pytest.raises(ConfigError, match=kind.__name__):
        kind()(inputs())


@pytest.mark.parametrize('value', [0.9, torch.nn.Parameter(torch.tensor(0.9))])
@pytest.mark.parametrize('name', ['beta', 'rate', 'threshold', 'reset'])
def test_a_constant_must_not_hide_a_part_of_the_neuron(name, value):
    class Own(Leaky):
        def __init__(self):
            super().__init__()
            setattr(self, name, value)

    with pytest.raises(ConfigError, match=rf'Own.*\b{name}\b'):
        Own()


def test_bad_input():
    with pytest.raises(NotImplementedError, match='NoCharge'):
        NoCharge()(inputs())
    with pytest.raises(ConfigError, match='v_threshold'):
        Leaky(v_threshold=None)
    with pytest.raises(ConfigError, match='tau_a'):
        ALIF(tau_a=0.0)
    with pytest.raises(ConfigError, match='ALIF'):
        ALIF().advance(inputs(), (torch.zeros(7, 6),))
    with pytest.raises(ConfigError, match='ALIF'):
        ALIF().double().advance(inputs(), (torch.zeros(7, 5), torch.zeros(7, 6)))
    for call in (Leaky(), Leaky().advance):
        with pytest.raises(ValueError, match='Leaky'):
            call(torch.zeros(3))


@pytest.mark.parametrize(
    'neuron',
    [LIF(), ALIF(), PSN(T=4), ILIF(), Recurrent(dict(type='LIF'), 3)],
    ids=lambda neuron: type(neuron).__name__,
)
@pytest.mark.parametrize('dtype', [torch.int64, torch.uint8, torch.bool])
def test_integers_are_no_currents(neuron, dtype):
    with pytest.raises(ConfigError, match=rf'{type(neuron).__name__}.*{dtype}'):
        neuron(torch.ones(4, 2, 3, dtype=dtype))


def test_integers_are_no_currents_of_one_time_step():
    with pytest.raises(ConfigError, match='ALIF.*torch.int64'):
        ALIF().advance(torch.ones(1, 2, 3, dtype=torch.int64))
