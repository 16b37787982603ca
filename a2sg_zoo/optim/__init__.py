"""Steps of the optimiser that other groups reach flat minima with, as wrappers around any optimiser."""

from .fisher import FisherOptimWrapper
from .sam import SAMOptimWrapper

__all__ = ['SAMOptimWrapper', 'FisherOptimWrapper']
