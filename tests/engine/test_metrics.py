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

from a2sg_zoo.engine.metrics.classification import Accuracy
from a2sg_zoo.engine.metrics.segmentation import SegmentationMetric
from a2sg_zoo.errors import DataError, NonFiniteError
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


@settings(max_examples=40)
@given(maps, labels)
def test_agrees_with_brute_force_and_with_mmseg(prediction, truth):
    metric = SegmentationMetric()
    if (truth == 255).all():
        with pytest.raises(DataError):
            evaluate(metric, prediction, truth)
        return
    scores = evaluate(metric, prediction, truth)
    rows = brute_force(prediction, truth)
    assert [row['class'] for row in metric.per_class] == [f'class{i}' for i in rows]
    for row, (iou, acc, pixels) in zip(metric.per_class, rows.values()):
        assert (row['IoU'], row['Acc'], row['pixels']) == (pytest.approx(iou), pytest.approx(acc), pixels)
    assert scores['mIoU_present'] == pytest.approx(np.mean([iou for iou, _, _ in rows.values()]))
    guesses = [brute_force(np.full_like(truth, i), truth) for i in range(CLASSES)]
    assert scores['mIoU_constant'] == pytest.approx(
        max(np.mean([iou for iou, _, _ in guess.values()]) for guess in guesses)
    )
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


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_logits_of_a_segmentation_that_are_not_finite(value):
    logits = torch.zeros(CLASSES, 4, 5)
    logits[1, 2, 3] = value
    labels = PixelData(data=torch.zeros(1, 4, 5, dtype=torch.int64))
    sample = SegDataSample(pred_sem_seg=labels, gt_sem_seg=labels, seg_logits=PixelData(data=logits))
    sample.set_metainfo(dict(img_path='street.jpg'))
    metric = SegmentationMetric()
    metric.dataset_meta = dict(classes=[f'class{i}' for i in range(CLASSES)])
    with pytest.raises(NonFiniteError, match='street.jpg'):
        metric.process({}, [sample.to_dict()])
    sample.seg_logits.data = torch.zeros(CLASSES, 4, 5)
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)['aAcc'] == 100


def classified(logits, labels, classes=None):
    metric = Accuracy()
    metric.dataset_meta = None if classes is None else dict(classes=classes)
    samples = [dict(logits=z, label=torch.tensor(label)) for z, label in zip(logits, labels)]
    for start in range(0, len(samples), 3):
        metric.process({}, samples[start : start + 3])
    return metric, metric.evaluate(len(samples))


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 7), st.integers(0, 99))
def test_accuracy_agrees_with_brute_force(images, T, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, T, classes, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator).tolist()
    metric, scores = classified(logits, labels, [f'class {i}' for i in range(classes)])
    for t in range(1, T + 1):
        right = [int(z[:t].mean(0).argmax()) == label for z, label in zip(logits, labels)]
        assert scores[f'top1_t{t}'] == pytest.approx(100 * np.mean(right))
    found = [int(z.mean(0).argmax()) for z in logits]
    five = [label in z.mean(0).argsort(descending=True)[:5] for z, label in zip(logits, labels)]
    assert scores['top1'] == scores[f'top1_t{T}'] and scores['top5'] == pytest.approx(100 * np.mean(five))
    pairs = list(zip(labels, found))
    assert metric.confusion.tolist() == [[pairs.count((i, j)) for j in range(classes)] for i in range(classes)]
    assert metric.per_class == [
        {
            'class': f'class {i}',
            'Acc': pytest.approx(100 * pairs.count((i, i)) / labels.count(i)),
            'images': labels.count(i),
        }
        for i in sorted(set(labels))
    ]


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_logits_of_a_classification_that_are_not_finite(value):
    logits = torch.zeros(5, 2, 3)
    logits[4, 0, 1] = value
    with pytest.raises(NonFiniteError, match=' 4 '):
        classified(logits, [0] * 5)
    with pytest.raises(DataError):
        Accuracy().compute_metrics([])


def test_classes_without_names_are_numbers():
    metric, _ = classified(torch.zeros(2, 1, 3), [1, 0])
    assert [row['class'] for row in metric.per_class] == ['0', '1']
