"""Detection and instance segmentation: spiking backbones and pyramids under torchvision's heads."""

from .dense_heads import FCOSHead, RetinaNetHead
from .detector import SpikingDetector
from .region_heads import FasterRCNNHead, MaskRCNNHead
from .spiking_heads import SpikingFCOSHead, SpikingRetinaNetHead

__all__ = [
    'FCOSHead',
    'FasterRCNNHead',
    'MaskRCNNHead',
    'RetinaNetHead',
    'SpikingDetector',
    'SpikingFCOSHead',
    'SpikingRetinaNetHead',
]
