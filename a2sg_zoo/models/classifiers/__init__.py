"""Networks that classify images: a backbone that keeps time, and a head on it."""

from a2sg_zoo.hub import checkpoint as _  # noqa: F401  MMEngine's `init_cfg` then reads files that run no code

from .classifier import SpikingClassifier
from .heads import LinearHead

__all__ = ['SpikingClassifier', 'LinearHead']
