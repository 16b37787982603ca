"""Steps of the optimiser, as wrappers around any: those that seek flat minima, and mixed precision in bfloat16."""

from .bfloat16 import BFloat16OptimWrapper
from .fisher import FisherOptimWrapper
from .sam import SAMOptimWrapper

__all__ = ['BFloat16OptimWrapper', 'SAMOptimWrapper', 'FisherOptimWrapper']
