"""Spiking necks and heads for segmentation. MMSegmentation's `EncoderDecoder` joins them with a backbone."""

from .spiking_fpn import SpikingFPN, SpikingFPNHead
from .spiking_heads import SpikingASPPHead, SpikingFCNHead, SpikingPSPHead, SpikingSegformerHead, SpikingUPerHead
from .spiking_mask import SpikingMaskHead

__all__ = [
    'SpikingASPPHead',
    'SpikingFCNHead',
    'SpikingFPN',
    'SpikingFPNHead',
    'SpikingMaskHead',
    'SpikingPSPHead',
    'SpikingSegformerHead',
    'SpikingUPerHead',
]
