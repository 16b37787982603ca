"""Metrics of classification, segmentation and detection."""

from importlib import import_module

from a2sg_zoo.engine.metrics.classification import Accuracy

__all__ = ['Accuracy', 'DetectionMetric', 'SegmentationMetric']

_LAZY = dict(
    DetectionMetric='a2sg_zoo.engine.metrics.detection', SegmentationMetric='a2sg_zoo.engine.metrics.segmentation'
)


def __getattr__(name):
    # they need MMSegmentation, which takes seconds to load, and pycocotools
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
