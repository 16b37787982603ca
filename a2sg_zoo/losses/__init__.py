"""Losses: of a classifier's logits over time, and on membrane potentials."""

from .classification import TET, MeanCrossEntropy
from .hook import MembraneLoss
from .membrane import IMLoss, MembraneKL, RMPLoss

__all__ = ['MeanCrossEntropy', 'TET', 'MembraneLoss', 'IMLoss', 'RMPLoss', 'MembraneKL']
