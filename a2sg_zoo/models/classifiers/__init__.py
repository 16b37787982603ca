"""Networks that classify images: a backbone that keeps time, and a head on it."""

from .classifier import SpikingClassifier
from .heads import LinearHead

__all__ = ['SpikingClassifier', 'LinearHead']
