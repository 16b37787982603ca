"""Methods of other groups that set the shape or width of the surrogate while training, as policies.

policy         what it sets                 from what
Dspike         temperature, all layers      cosine to a finite-difference gradient, once an epoch
LSG            width, a layer               the decay that the layer learns
CPNG           width, a layer               the share of elements that receive a gradient
MPDAGL         width, a layer and step      the standard deviation of the membrane potential
EvolvingTanh   steepness, all layers        the progress of the training
"""

from .dspike import Dspike
from .evolving import EvolvingTanh
from .width import CPNG, LSG, MPDAGL

__all__ = ['Dspike', 'LSG', 'CPNG', 'MPDAGL', 'EvolvingTanh']
