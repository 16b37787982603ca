"""Spiking vision transformers for segmentation, trained with adaptive surrogate gradients."""

from a2sg_zoo.distributions import check_distributions

__version__ = '0.1.0'

check_distributions()
