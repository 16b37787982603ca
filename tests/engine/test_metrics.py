import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.evaluation.metrics import IoUMetric
from mmseg.structures import SegDataSample

from a2sg_zoo.engine.metrics.segmentation import SegmentationMetric
from a2sg_zoo.registry import METRICS

CLASSES = 5
maps = hnp.arrays(np.int64, (2, 4, 5), elements=st.integers(0, CLASSES - 1))
labels = hnp.arrays(np.int64, (2, 4, 5), elements=st.sampled_from([*range(CLASSES), 255]))


def evaluate(metric, predictions, truths):
    metric.dataset_meta = dict(classes=[f'class{i}' for i in range(CLASSES)])
    for prediction, truth in zip(predictions, truths):
        sample = SegDataSample(
            pred_sem_seg=PixelData(data=torch.from_numpy(prediction)[None]),
            gt_sem_seg=PixelData(data=torch.from_numpy(truth)[None]),
        )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(predictions))


def brute_force(prediction, truth):
    """(IoU, Acc, pixels) in percent by class id, of the classes that occur."""
    valid = truth != 255
    rows = {}
    for i in range(CLASSES):
        p, t = (prediction == i) & valid, truth == i
        if t.any():
            rows[i] = (100 * (p & t).sum() / (p | t).sum(), 100 * (p & t).sum() / t.sum(), t.sum())
    return rows


@pytest.mark.filterwarnings('ignore:Mean of empty slice')  # where nothing is labelled
@settings(max_examples=40)
@given(maps, labels)
def test_agrees_with_brute_force_and_with_mmseg(prediction, truth):
    metric = SegmentationMetric()
    scores = evaluate(metric, prediction, truth)
    rows = brute_force(prediction, truth)
    assert [row['class'] for row in metric.per_class] == [f'class{i}' for i in rows]
    for row, (iou, acc, pixels) in zip(metric.per_class, rows.values()):
        assert (row['IoU'], row['Acc'], row['pixels']) == (pytest.approx(iou), pytest.approx(acc), pixels)
    if rows:
        assert scores['mIoU_present'] == pytest.approx(np.mean([iou for iou, _, _ in rows.values()]))
        guesses = [brute_force(np.full_like(truth, i), truth) for i in range(CLASSES)]
        assert scores['mIoU_constant'] == pytest.approx(
            max(np.mean([iou for iou, _, _ in guess.values()]) for guess in guesses)
        )
    else:
        assert np.isnan(scores['mIoU_present'])
    theirs = evaluate(IoUMetric(), prediction, truth)
    assert set(scores) == {*theirs, 'mIoU_present', 'mIoU_constant'}
    for name, value in theirs.items():
        assert scores[name] == pytest.approx(value, abs=0.0051, nan_ok=True)


def test_other_scores_and_prefix_are_those_of_mmseg():
    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, CLASSES, (2, 1, 8, 8))
    kwargs = dict(iou_metrics=['mIoU', 'mDice', 'mFscore'], beta=2, nan_to_num=-1, prefix='val')
    ours = evaluate(SegmentationMetric(**kwargs), prediction, truth)
    theirs = evaluate(IoUMetric(**kwargs), prediction, truth)
    assert set(ours) == {*theirs, 'val/mIoU_present', 'val/mIoU_constant'}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=0.0051)


def test_a_stray_prediction_moves_mIoU_but_not_mIoU_present():
    truth = np.zeros((1, 10, 10), np.int64)
    truth[:, 5:] = 1
    prediction = truth.copy()
    prediction[0, 0, 0] = 4
    scores = evaluate(SegmentationMetric(), prediction, truth)
    assert scores['mIoU'] == pytest.approx((98 + 100 + 0) / 3)
    assert scores['mIoU_present'] == pytest.approx((98 + 100) / 2)


def test_counts_beyond_float32():
    metric = SegmentationMetric()
    metric.dataset_meta = dict(classes=['a', 'b'])
    big, one = torch.tensor([2.0**24, 0]), torch.tensor([1.0, 0])
    scores = metric.compute_metrics([(big, big, big, big), *[(one * 0, one, one * 0, one)] * 3])
    assert metric.per_class[0]['pixels'] == 2**24 + 3
    assert scores['aAcc'] == pytest.approx(100 * 2**24 / (2**24 + 3), abs=1e-9)


def test_table_holds_only_the_classes_that_occur(caplog):
    truth = np.full((1, 4, 4), 3)
    logger = MMLogger.get_current_instance()  # it does not hand its records on to the root logger
    logger.addHandler(caplog.handler)
    try:
        evaluate(SegmentationMetric(), truth, truth)
    finally:
        logger.removeHandler(caplog.handler)
    assert 'class3' in caplog.text and 'class0' not in caplog.text


def test_format_only_writes_predictions(tmp_path):
    metric = SegmentationMetric(format_only=True, output_dir=str(tmp_path / 'out'))
    metric.dataset_meta = dict(classes=['a', 'b'])
    metric.process({}, [dict(pred_sem_seg=dict(data=torch.zeros(1, 4, 4, dtype=torch.int64)), img_path='x/y.jpg')])
    assert metric.evaluate(1) == {}
    assert (tmp_path / 'out' / 'y.png').exists() and metric.per_class == []


def test_registered():
    assert METRICS.module_dict['SegmentationMetric'] is SegmentationMetric
