"""Losses on a classifier's logits over time, and on membrane potentials."""

from .classification import TET, MeanCrossEntropy, RateMSE
from .membrane import IMLoss, MembraneKL, RMPLoss

__all__ = ['MeanCrossEntropy', 'TET', 'RateMSE', 'IMLoss', 'RMPLoss', 'MembraneKL']
