"""Each neuron of the registry has the spikes and gradients of the neuron that another library publishes, in float64."""

import pytest

from a2sg_zoo.neurons import NILIF, StepNeuron
from a2sg_zoo.registry import NEURONS

from .peers import PEERS, difference, double

LIBRARIES = dict(norse='norse', snnTorch='snntorch', SpikingJelly='spikingjelly')


@pytest.mark.parametrize('name', PEERS, ids=', '.join)
def test_spikes_and_gradients_are_those_of_the_peer(name):
    pytest.importorskip(LIBRARIES[name[1]])
    with double():
        spikes, gradients, rate = difference(name)
    assert spikes == 0 and gradients < 1e-12
    assert 0.01 < rate < 0.99


def test_every_neuron_has_a_peer():
    """IF, LIF and PLIF have theirs in tests/adaptation/foreign."""
    classes = {name for name, kind in NEURONS.module_dict.items() if issubclass(kind, (StepNeuron, NILIF))}
    assert {name for name in classes if NEURONS.get(name).__module__.startswith('a2sg_zoo')} <= {
        name.partition(',')[0] for name, *_ in PEERS
    }
