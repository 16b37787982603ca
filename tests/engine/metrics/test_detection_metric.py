"""mAP: pycocotools on the annotation file itself is the reference."""

import contextlib
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

pytest.importorskip('pycocotools')
from pycocotools.coco import COCO as Reference
from pycocotools.cocoeval import COCOeval

from a2sg_zoo.datasets.coco_file import decode_segmentation, encode_segmentation
from a2sg_zoo.datasets.miniature.coco import MiniatureCOCO
from a2sg_zoo.engine.metrics.detection import DetectionMetric, constant_guess
from a2sg_zoo.engine.metrics.score_names import score_names
from a2sg_zoo.errors import ConfigError, DataError

SIZE = 64


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    pipeline = [dict(type='LoadDetection', masks=True), dict(type='PackDetection')]
    return MiniatureCOCO(
        tmp_path_factory.mktemp('scenes') / 'set', 'val', train=1, val=12, size=SIZE, pipeline=pipeline
    )


def predictions(sample, rng, noise, strays=1):
    """The objects of a sample, moved by noise, some missed and some with another class, and boxes of nothing."""
    boxes, scores, labels, masks = [], [], [], []
    for item in sample.annotations:
        if rng.random() < 0.8:
            shift = rng.integers(-noise, noise + 1, 2)
            x, y, w, h = item['bbox']
            boxes.append([x + shift[0], y + shift[1], x + w + shift[0], y + h + shift[1]])
            mask = decode_segmentation(item['segmentation'], SIZE, SIZE)
            masks.append(np.roll(mask, tuple(shift[::-1]), (0, 1)).astype(bool))
            labels.append(item['label'] if rng.random() < 0.9 else 1 - item['label'])
            scores.append(rng.random())
    for _ in range(strays):
        x, y = rng.integers(0, SIZE - 12, 2)
        boxes.append([x, y, x + 9, y + 12])
        masks.append(np.zeros((SIZE, SIZE), bool))
        masks[-1][y : y + 12, x : x + 9] = True
        labels.append(int(rng.integers(2)))
        scores.append(rng.random())
    order = np.argsort(scores)[::-1].copy()
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)[order]),
        scores=torch.tensor(np.array(scores, np.float32)[order]),
        labels=torch.tensor(np.array(labels, np.int64)[order]),
        masks=torch.tensor(np.array(masks, bool).reshape(-1, SIZE, SIZE)[order]),
    )


def evaluate(metric, samples, classes=('person', 'car')):
    metric.dataset_meta = dict(classes=classes)
    metric.process(None, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(samples))


def reference(file, samples, kind):
    ids = {0: 1, 1: 3}
    found = []
    for sample in samples:
        instances = sample.pred_instances
        for box, score, label, mask in zip(instances.bboxes, instances.scores, instances.labels, instances.masks):
            x1, y1, x2, y2 = box.double().tolist()
            entry = dict(image_id=sample.img_id, category_id=ids[int(label)], score=float(score))
            if kind == 'bbox':
                entry['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            else:
                from pycocotools import mask as tools

                entry['segmentation'] = tools.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
            found.append(entry)
    with contextlib.redirect_stdout(None):
        truth = Reference(file)
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize('noise', [0, 2])
def test_scores_are_those_of_pycocotools_on_the_file(scenes, noise):
    rng = np.random.default_rng(noise)
    samples = [scenes[i]['data_samples'] for i in range(len(scenes))]
    for sample in samples:
        sample.pred_instances = predictions(sample, rng, noise)
    scores = evaluate(DetectionMetric(['bbox', 'segm']), samples)
    names = ['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l']
    for kind in ('bbox', 'segm'):
        expected = reference(scenes.ann_file, samples, kind)
        for name, value in zip(names, expected):
            if value >= 0:
                assert scores.pop(f'{kind}_{name}') == pytest.approx(100 * value, abs=1e-9), (kind, name)
        assert 0 < expected[0] < 1
    assert not scores  # where there is no object, there is no score


def perfect(sample):
    kept = [item for item in sample.annotations if not item['iscrowd']]
    boxes = torch.tensor([item['bbox'] for item in kept], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = torch.tensor([item['label'] for item in kept], dtype=torch.long)
    return InstanceData(bboxes=boxes, scores=torch.ones(len(kept)), labels=labels)


def test_perfect_and_empty_answers(scenes):
    samples = [scenes[i]['data_samples'] for i in range(len(scenes))]
    metric = DetectionMetric()
    for sample in samples:
        sample.pred_instances = perfect(sample)
    assert evaluate(metric, samples)['bbox_mAP'] == pytest.approx(100)
    assert [row['class'] for row in metric.per_class] == ['person', 'car']
    assert all(row['AP'] == pytest.approx(100) and row['objects'] > 0 for row in metric.per_class)
    json.dumps(metric.per_class)
    for sample in samples:
        sample.pred_instances = perfect(sample)[:0]
    assert evaluate(DetectionMetric(), samples)['bbox_mAP'] == 0


def test_predictions_within_a_crowd_do_not_count(scenes):
    sample = scenes[0]['data_samples']
    label = sample.annotations[0]['label']
    region = dict(
        id=99, label=label, bbox=[0, 0, 20, 20], area=400, iscrowd=1, segmentation=[[0, 0, 20, 0, 20, 20, 0, 20]]
    )
    sample.set_metainfo(dict(annotations=[*sample.annotations, region]))
    sample.pred_instances = perfect(sample)
    expected = evaluate(DetectionMetric(), [sample])

    def with_stray(box):
        stray = InstanceData(bboxes=torch.tensor([box]), scores=torch.full((1,), 2.0), labels=torch.tensor([label]))
        sample.pred_instances = InstanceData.cat([stray, perfect(sample)])
        return evaluate(DetectionMetric(), [sample])

    assert with_stray([2.0, 2.0, 10.0, 10.0]) == expected
    assert with_stray([50.0, 0.0, 60.0, 4.0])['bbox_mAP'] < expected['bbox_mAP']


def test_masks_that_are_not_there(scenes):
    sample = scenes[0]['data_samples']
    sample.pred_instances = perfect(sample)
    with pytest.raises(ConfigError, match='kinds'):
        evaluate(DetectionMetric(['segm']), [sample])
    sample.pred_instances = predictions(sample, np.random.default_rng(0), 0)
    first = {key: x for key, x in sample.annotations[0].items() if key != 'segmentation'}
    sample.set_metainfo(dict(annotations=[first]))
    with pytest.raises(DataError, match=f'{sample.img_path}.*annotation {first["id"]}'):
        evaluate(DetectionMetric(['segm']), [sample])


def test_nothing_to_score(scenes):
    sample = scenes[0]['data_samples']
    sample.set_metainfo(dict(annotations=[]))
    sample.pred_instances = perfect(sample)
    with pytest.raises(DataError):
        evaluate(DetectionMetric(), [sample])


def test_names_of_scores():
    assert score_names(dict(type='DetectionMetric', kinds=['segm']))[0] == 'segm_mAP'
    with pytest.raises(ConfigError, match='kinds'):
        DetectionMetric(['box'])


def test_run_lengths_and_polygons_are_the_same():
    square = [[2, 1, 6, 1, 6, 5, 2, 5]]
    mask = decode_segmentation(square, 8, 8)
    compressed = encode_segmentation(square, 8, 8)
    assert mask.sum() == 16 and np.array_equal(decode_segmentation(compressed, 8, 8), mask)
    runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, mask.T.ravel().astype(int), -1])))
    counts = dict(size=[8, 8], counts=[*([0] if mask[0, 0] else []), *map(int, runs)])
    assert np.array_equal(decode_segmentation(counts, 8, 8), mask)


def test_a_constant_guess(scenes, tmp_path):
    training = MiniatureCOCO(tmp_path / 'set', 'train', train=30, val=12, size=SIZE)
    scores = constant_guess(training, scenes)
    assert 0 < scores['bbox_mAP'] < 20
    assert constant_guess(training, scenes, per_class=1)['bbox_mAP'] < scores['bbox_mAP']
    # boxes of the pictures themselves find them, but all pictures get all of them
    assert scores['bbox_mAP_50'] < constant_guess(scenes, scenes)['bbox_mAP_50'] < 100
