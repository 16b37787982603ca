"""Multi-step spiking neurons: the dynamics, their backward pass, and the modules that networks are built of."""

from .dynamics import Dynamics, LocalGradient
from .integer import ILIF
from .lif import IF, LIF, PLIF, Neuron, named_neurons, recorded_potentials
from .multistep import LayerGradients, multistep, multistep_potentials, multistep_reference

__all__ = [
    'Neuron',
    'IF',
    'LIF',
    'PLIF',
    'ILIF',
    'Dynamics',
    'LocalGradient',
    'LayerGradients',
    'multistep',
    'multistep_potentials',
    'multistep_reference',
    'named_neurons',
    'recorded_potentials',
]
