"""Multi-step spiking neurons: the dynamics, their backward pass, and the modules that networks are built of."""

from .backends import compute_fused, compute_reference
from .contexts import hold_widths, recorded_gradients, recorded_potentials, use_backend
from .controllers import Controller, FixedWidths
from .currents import ALIF, SynapticLIF
from .dynamics import Dynamics, LocalGradient
from .gated import CLIF, GLIF, KLIF
from .integer import ILIF, NILIF
from .layer_gradients import LayerGradients
from .lif import IF, LIF, PLIF
from .multistep import multistep, multistep_chunk, multistep_potentials, multistep_reference
from .neuron import Neuron, named_neurons, set_time_steps
from .nonlinear import EIF, QIF, Izhikevich
from .parallel import PSN, MaskedPSN, SlidingPSN
from .recurrent import Recurrent
from .state import NeuronState
from .step import StepNeuron

__all__ = [
    'Neuron',
    'NeuronState',
    'StepNeuron',
    'IF',
    'LIF',
    'PLIF',
    'ILIF',
    'ALIF',
    'SynapticLIF',
    'QIF',
    'EIF',
    'Izhikevich',
    'KLIF',
    'GLIF',
    'CLIF',
    'NILIF',
    'PSN',
    'MaskedPSN',
    'SlidingPSN',
    'Recurrent',
    'Controller',
    'FixedWidths',
    'Dynamics',
    'LocalGradient',
    'LayerGradients',
    'multistep',
    'multistep_chunk',
    'multistep_potentials',
    'multistep_reference',
    'named_neurons',
    'set_time_steps',
    'use_backend',
    'compute_fused',
    'compute_reference',
    'hold_widths',
    'recorded_potentials',
    'recorded_gradients',
]
