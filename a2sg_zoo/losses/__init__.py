"""Losses on logits over time."""

from .classification import TET, MeanCrossEntropy

__all__ = ['MeanCrossEntropy', 'TET']
