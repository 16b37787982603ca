"""Spiking necks and heads for segmentation. MMSegmentation's `EncoderDecoder` joins them with a backbone."""

from .spiking_fpn import SpikingFPN, SpikingFPNHead

__all__ = ['SpikingFPN', 'SpikingFPNHead']
