"""Metrics say the names of their scores, and those are the names that they give."""

import fnmatch

import pytest
import torch
from mmengine.evaluator import BaseMetric

from a2sg_zoo.engine.metrics import Accuracy, SegmentationMetric
from a2sg_zoo.engine.metrics.score_names import score_names
from a2sg_zoo.registry import METRICS


def test_accuracy_gives_them():
    metric = Accuracy()
    samples = [dict(logits=torch.randn(4, 10), label=torch.tensor(i)) for i in range(3)]
    metric.process(None, samples)
    given, names = list(metric.compute_metrics(metric.results)), score_names(dict(type='Accuracy'))
    assert given[0] == names[0] and all(any(fnmatch.fnmatch(name, pattern) for pattern in names) for name in given)
    assert all(fnmatch.filter(given, pattern) for pattern in names)


@pytest.mark.parametrize('iou_metrics', [['mIoU'], ['mDice'], ['mFscore'], ['mIoU', 'mFscore']])
def test_segmentation_gives_them(iou_metrics):
    metric = SegmentationMetric(iou_metrics=iou_metrics)
    metric.dataset_meta = dict(classes=('a', 'b'))
    areas = tuple(torch.tensor([3.0, 4.0]) for _ in range(4))
    given = list(metric.compute_metrics([areas]))
    assert set(given) == set(score_names(dict(type='SegmentationMetric', iou_metrics=iou_metrics)))
    assert given[0] == 'aAcc'


def test_a_list_and_prefixes():
    found = score_names([dict(type='Accuracy', prefix='clean'), dict(type='Accuracy')])
    assert found == ['clean/top1', 'clean/top5', 'clean/top1_t*', 'top1', 'top5', 'top1_t*']


def test_a_metric_that_does_not_say_them(monkeypatch):
    class Silent(BaseMetric):
        pass

    monkeypatch.setitem(METRICS.module_dict, 'Silent', Silent)
    for evaluator in (dict(type='Silent'), [dict(type='Accuracy'), dict(type='Silent')], dict(type='none'), None, [3]):
        assert score_names(evaluator) is None
