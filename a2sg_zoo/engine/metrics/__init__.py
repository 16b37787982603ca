"""Metrics of classification and segmentation."""

from importlib import import_module

from a2sg_zoo.engine.metrics.classification import Accuracy

__all__ = ['Accuracy', 'SegmentationMetric']


def __getattr__(name):
    # needs MMSegmentation, which takes seconds to load
    if name == 'SegmentationMetric':
        return import_module('a2sg_zoo.engine.metrics.segmentation').SegmentationMetric
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
