"""Spiking necks and heads for segmentation. MMSegmentation's `EncoderDecoder` joins them with a backbone."""

from .averaged import AveragedSegmentor
from .spiking_fpn import SpikingFPN, SpikingFPNHead
from .spiking_heads import SpikingASPPHead, SpikingFCNHead, SpikingPSPHead, SpikingSegformerHead, SpikingUPerHead
from .spiking_mask import SpikingMaskHead

__all__ = [
    'AveragedSegmentor',
    'SpikingASPPHead',
    'SpikingFCNHead',
    'SpikingFPN',
    'SpikingFPNHead',
    'SpikingMaskHead',
    'SpikingPSPHead',
    'SpikingSegformerHead',
    'SpikingUPerHead',
]
