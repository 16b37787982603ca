"""Spiking backbones: one file a family."""

from .base import SpikingBackbone
from .meta_spikeformer import MetaSpikeFormer
from .spikformer import Spikformer

__all__ = ['SpikingBackbone', 'Spikformer', 'MetaSpikeFormer']
