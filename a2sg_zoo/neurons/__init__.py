"""Multi-step spiking neurons: the dynamics, their backward pass, and the modules that networks are built of."""

from .dynamics import Dynamics, LocalGradient, multistep, multistep_potentials, multistep_reference
from .integer import ILIF
from .lif import IF, LIF, PLIF, Neuron, named_neurons, recorded_potentials

__all__ = [
    'Neuron', 'IF', 'LIF', 'PLIF', 'ILIF', 'Dynamics', 'LocalGradient', 'multistep', 'multistep_potentials',
    'multistep_reference', 'named_neurons', 'recorded_potentials'
]
