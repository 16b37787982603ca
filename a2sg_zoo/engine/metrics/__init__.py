"""Metrics of classification and segmentation."""

from a2sg_zoo.engine.metrics.classification import Accuracy
from a2sg_zoo.engine.metrics.segmentation import SegmentationMetric

__all__ = ['Accuracy', 'SegmentationMetric']
