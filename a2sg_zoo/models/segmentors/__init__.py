"""Necks and heads for segmentation; MMSegmentation's `EncoderDecoder` holds them together."""

from .spiking_fpn import SpikingFPN, SpikingFPNHead

__all__ = ['SpikingFPN', 'SpikingFPNHead']
