"""Classifiers of images, event frames and sequences: a backbone that keeps time, and a head."""

from a2sg_zoo.hub import loaders as _  # noqa: F401  makes MMEngine's `init_cfg` read weights as data only

from .classifier import SpikingClassifier
from .heads import LinearHead
from .sequence_heads import ReadoutHead, VotingHead

__all__ = ['SpikingClassifier', 'LinearHead', 'ReadoutHead', 'VotingHead']
