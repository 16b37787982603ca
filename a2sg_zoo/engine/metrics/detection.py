"""COCO's mean average precision, of boxes and of masks, by pycocotools."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from prettytable import PrettyTable

from a2sg_zoo.datasets.coco_file import encode_segmentation, import_mask_tools
from a2sg_zoo.errors import ConfigError, DataError, printable
from a2sg_zoo.registry import METRICS

# names of pycocotools' summary, in its order; the rest of it are recalls
_SUMMARY = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_KINDS = ('bbox', 'segm')


@METRICS.register_module()
class DetectionMetric(BaseMetric):
    """COCO's mAP, in percent: the mean over classes and over the overlaps (IoU) 0.50, 0.55, ..., 0.95.

    `bbox_mAP` compares boxes and `segm_mAP` masks. With `_50` and `_75` behind it, the overlap is 0.50 or 0.75 alone;
    with `_s`, `_m` and `_l`, only objects below 32^2 pixels, between that and 96^2, or above count. A score for which
    the data has no object is left out. Predictions within crowd regions do not count.

    Takes, for each picture, the sample of a `SpikingDetector`: `pred_instances`, and the truth in `annotations`, as
    `PackDetection` gives it.

    Args:
        kinds: of 'bbox' and 'segm', what is compared.
        **kwargs: those of `mmengine.evaluator.BaseMetric`.

    Attributes:
        per_class: after an evaluation, on the main process: for each class that occurs, by label, a dict of `class`
            (its name), `AP` of the first kind (in percent), `AP_segm` if masks are compared too, and `objects` (their
            number).

    Raises:
        ConfigError: `kinds` is something else, or pycocotools is not installed.
    """

    def __init__(self, kinds: Sequence[str] = ('bbox',), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if not self.kinds or not {*self.kinds} <= {*_KINDS}:
            raise ConfigError(
                f'DetectionMetric: kinds must be a list of {" and ".join(map(repr, _KINDS))}, got {kinds!r}'
            )
        import_mask_tools()
        self.per_class: list[dict[str, Any]] = []

    @classmethod
    def score_names(cls, kinds: Sequence[str] = ('bbox',), **kwargs: Any) -> list[str]:
        """Return the names of the scores of a metric with these arguments; see `score_names.score_names`."""
        return [f'{kind}_{name}' for kind in ([kinds] if isinstance(kinds, str) else kinds) for name in _SUMMARY]

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        """Keep what is found in a batch, and the truth.

        Args:
            data_batch: not used.
            data_samples: samples of a `SpikingDetector` as dictionaries.

        Raises:
            DataError: masks are compared, and the truth has none; the message names the annotation.
            ConfigError: masks are compared, and the network gives none.
        """
        for sample in data_samples:
            found = sample['pred_instances']
            boxes = found['bboxes'].detach().cpu().double().numpy()
            boxes[:, 2:] -= boxes[:, :2]
            prediction = dict(
                boxes=boxes,
                scores=found['scores'].detach().cpu().double().numpy(),
                labels=found['labels'].cpu().numpy(),
            )
            height, width = sample['ori_shape']
            if 'segm' in self.kinds:
                if 'masks' not in found:
                    raise ConfigError(
                        "DetectionMetric: kinds has 'segm', but this network gives no masks; leave it out"
                    )
                prediction['masks'] = _encode(found['masks'])
                self._require_masks(sample)
            self.results.append(
                (dict(id=sample['img_id'], height=height, width=width), sample['annotations'], prediction)
            )

    def _require_masks(self, sample: Mapping) -> None:
        for item in sample['annotations']:
            if 'segmentation' not in item:
                raise DataError(
                    f'{printable(sample["img_path"])}: annotation {item["id"]} has no segmentation, but '
                    "DetectionMetric's kinds has 'segm'"
                )

    def compute_metrics(self, results: Sequence[tuple[dict, list[dict], dict]]) -> dict[str, float]:
        """Return the scores of all pictures, {name: percent}.

        Raises:
            DataError: there is no object in the truth.
        """
        if not any(annotations for _, annotations, _ in results):
            raise DataError(f'nothing was evaluated: the {len(results)} pictures have no annotated object')
        names = (self.dataset_meta or {}).get('classes')
        number = 1 + max(item['label'] for _, annotations, _ in results for item in annotations)
        names = list(names or map(str, range(number)))
        truth = _truth(results, names, 'segm' in self.kinds)
        scores, rows = {}, {}
        for kind in self.kinds:
            evaluated, per_class = _evaluate(truth, results, kind)
            scores |= {f'{kind}_{name}': value for name, value in evaluated.items()}
            rows[kind] = per_class
        objects = [
            sum(x['label'] == i and not x['iscrowd'] for _, found, _ in results for x in found)
            for i in range(len(names))
        ]
        first, *others = self.kinds
        self.per_class = [
            {
                'class': names[i],
                'AP': rows[first][i],
                **{f'AP_{kind}': rows[kind][i] for kind in others},
                'objects': count,
            }
            for i, count in enumerate(objects)
            if count
        ]
        table = PrettyTable(['class', *(f'{kind} AP' for kind in self.kinds), 'objects'], align='r')
        for i, count in enumerate(objects):
            if count:
                table.add_row([names[i], *(f'{rows[kind][i]:.2f}' for kind in self.kinds), count])
        print_log(
            f'the {len(self.per_class)} of {len(names)} classes that occur:\n{table}',
            logger=MMLogger.get_current_instance(),
        )
        return scores


def _encode(masks: torch.Tensor) -> list[dict[str, Any]]:
    encode = import_mask_tools().encode
    return [encode(np.asfortranarray(mask, np.uint8)) for mask in masks.cpu().numpy()]


def _truth(results, names, masks):
    """pycocotools' object of the truth."""
    from pycocotools.coco import COCO

    truth = COCO()
    annotations = []
    for picture, objects, _ in results:
        for item in objects:
            entry = {key: item[key] for key in ('bbox', 'area', 'iscrowd')}
            if masks:
                entry['segmentation'] = encode_segmentation(item['segmentation'], picture['height'], picture['width'])
            annotations.append(
                dict(entry, id=len(annotations) + 1, image_id=picture['id'], category_id=item['label'] + 1)
            )
    truth.dataset = dict(
        info={},
        images=[picture for picture, _, _ in results],
        annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(names)],
    )
    with contextlib.redirect_stdout(None):
        truth.createIndex()
    return truth


def _evaluate(truth, results, kind):
    """({name: score}, AP of each class) of boxes or masks, in percent."""
    from pycocotools.cocoeval import COCOeval

    classes = len(truth.dataset['categories'])
    found = [
        dict(
            image_id=picture['id'],
            category_id=int(label) + 1,
            score=float(score),
            **(dict(bbox=box.tolist()) if kind == 'bbox' else dict(segmentation=prediction['masks'][i])),
        )
        for picture, _, prediction in results
        for i, (box, score, label) in enumerate(zip(prediction['boxes'], prediction['scores'], prediction['labels']))
    ]
    if not found:  # pycocotools does not take an empty list
        return dict.fromkeys(_SUMMARY[:3], 0.0), [0.0] * classes
    with contextlib.redirect_stdout(None):
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = {name: 100 * float(value) for name, value in zip(_SUMMARY, evaluation.stats) if value >= 0}
    # overlaps, recalls, classes, sizes, numbers of predictions; -1 where there is no object
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    per_class = [precision[:, :, i] for i in range(classes)]
    return scores, [100 * float(x[x >= 0].mean()) if (x >= 0).any() else 0.0 for x in per_class]


def constant_guess(training: Any, validation: Any, per_class: int = 50) -> dict[str, float]:
    """Return the scores of the same boxes in every picture: the floor that a detector must pass.

    For each class, the boxes are chosen from those of the training data, one after the other: the one that overlaps
    (IoU >= 0.5) with most of those that no chosen box overlaps with. Its score is their share.

    Args:
        training: `COCO`, from which the boxes are.
        validation: `COCO`, on which they are scored; its pictures have the size of those in `training`.
        per_class: largest number of boxes of a class.

    Returns:
        {name: percent}, of boxes.
    """
    from mmengine.structures import InstanceData
    from torchvision.ops import box_iou

    boxes: dict[int, list] = {}
    for i in range(len(training)):
        for item in training.get_data_info(i)['annotations']:
            if not item['iscrowd']:
                boxes.setdefault(item['label'], []).append(item['bbox'])
    chosen = []
    for label, found in boxes.items():
        corners = torch.tensor(found, dtype=torch.float32)
        corners[:, 2:] += corners[:, :2]
        overlaps = (box_iou(corners, corners) >= 0.5).float()
        left = torch.ones(len(found))
        for _ in range(min(per_class, len(found))):
            counts = overlaps @ left
            best = int(counts.argmax())
            if counts[best] == 0:
                break
            chosen.append((float(counts[best]) / len(found), label, corners[best]))
            left[overlaps[best] > 0] = 0
    chosen.sort(key=lambda item: -item[0])
    guess = InstanceData(
        bboxes=torch.stack([box for _, _, box in chosen]),
        scores=torch.tensor([score for score, _, _ in chosen]),
        labels=torch.tensor([label for _, label, _ in chosen]),
    )
    metric = DetectionMetric()
    metric.dataset_meta = validation.metainfo
    infos = [validation.get_data_info(i) for i in range(len(validation))]
    metric.process(
        None, [dict(info, ori_shape=(info['height'], info['width']), pred_instances=guess) for info in infos]
    )
    return metric.evaluate(len(infos))
