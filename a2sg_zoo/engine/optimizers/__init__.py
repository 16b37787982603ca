"""Wrappers around any optimiser: steps that seek flat minima, Fisher preconditioning, and mixed precision."""

from .bfloat16 import AutoPrecisionOptimWrapper, BFloat16OptimWrapper
from .fisher import FisherOptimWrapper
from .sam import SAMOptimWrapper

__all__ = ['AutoPrecisionOptimWrapper', 'BFloat16OptimWrapper', 'SAMOptimWrapper', 'FisherOptimWrapper']
