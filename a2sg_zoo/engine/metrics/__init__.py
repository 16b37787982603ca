"""Metrics of classification, segmentation, detection and language modelling."""

from importlib import import_module

from a2sg_zoo.engine.metrics.classification import Accuracy
from a2sg_zoo.engine.metrics.language import BitsPerCharacter

__all__ = ['Accuracy', 'BitsPerCharacter', 'DetectionMetric', 'SegmentationMetric']

_LAZY = dict(
    DetectionMetric='a2sg_zoo.engine.metrics.detection', SegmentationMetric='a2sg_zoo.engine.metrics.segmentation'
)


def __getattr__(name):
    # they need MMSegmentation, which takes seconds to load, and pycocotools
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
