"""Scores of a segmentation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation.metrics import IoUMetric
from prettytable import PrettyTable

from a2sg_zoo.errors import DataError, NonFiniteError, printable
from a2sg_zoo.registry import METRICS


@METRICS.register_module()
class SegmentationMetric(IoUMetric):
    """MMSegmentation's `IoUMetric`, and beside it the mean IoU over the classes that occur.

    `mIoU` is that of `IoUMetric`, the figure to compare with papers: a class that is predicted somewhere but never
    occurs in the ground truth has IoU 0 and counts; one that neither occurs nor is predicted does not. So on a
    split where few of the 150 classes occur, a single stray pixel of one more class moves mIoU a lot.
    `mIoU_present` averages over the classes that occur in the split's ground truth, whatever is predicted; a stray
    pixel costs only the class it was taken from. On a split where every class occurs, both are the same.

    `mIoU_constant` is what the best constant guess would score as `mIoU_present`: the floor to compare with. Guessing
    one class everywhere gives that class its share of the pixels as IoU, and the others 0.

    All scores are in percent. They equal those of `IoUMetric` but for its rounding to two decimals, which would make
    ties between checkpoints, and its sums in float32, which drop pixels from 2**24 a class on.

    Args:
        **kwargs: those of `mmseg.evaluation.IoUMetric`.

    Attributes:
        per_class: after an evaluation, on the main process: for each class that occurs, by class id, a dict of
            `class` (its name), `IoU`, `Acc` (both in percent) and `pixels` (of the ground truth).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_class = []

    @classmethod
    def score_names(cls, iou_metrics: Sequence[str] = ('mIoU',), **kwargs) -> list[str]:
        """Return the names of the scores of a metric with these arguments; see `score_names.score_names`."""
        names = {'mIoU': ('mIoU', 'mAcc'), 'mDice': ('mDice', 'mAcc'), 'mFscore': ('mFscore', 'mPrecision', 'mRecall')}
        found = [name for metric in iou_metrics for name in names.get(metric, ())]
        return list(dict.fromkeys(('aAcc', *found, 'mIoU_present', 'mIoU_constant')))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compares the predictions of a batch with the ground truth.

        Args:
            data_batch: not used.
            data_samples: `SegDataSample` as dictionaries.

        Raises:
            NonFiniteError: logits are NaN or infinite, of which an argmax would make a class.
        """
        for sample in data_samples:
            if 'seg_logits' in sample:
                logits = sample['seg_logits']['data']
                # one pass without a copy: both are NaN if any element is
                if logits.numel() and not torch.stack(torch.aminmax(logits)).isfinite().all():
                    raise NonFiniteError(
                        f'the network answers with NaN or infinity for {printable(sample.get("img_path", "a picture"))}'
                        '; its weights or this picture are not usable'
                    )
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: Sequence) -> dict[str, float]:
        """The scores of all pictures.

        Raises:
            DataError: no pixel of the ground truth has a class.
        """
        if self.format_only:
            return super().compute_metrics(results)
        if not results or not any(areas[3].any() for areas in results):
            raise DataError(
                f'nothing was evaluated: no pixel of the {len(results)} segmentation masks has a class, all are '
                'ignored; check the masks, reduce_zero_label and metainfo of the data set'
            )
        intersect, union, predicted, label = (torch.stack(areas).double().sum(0) for areas in zip(*results))
        scores = self.total_area_to_metrics(
            intersect, union, predicted, label, self.metrics, self.nan_to_num, self.beta
        )
        metrics = {
            name if name == 'aAcc' else f'm{name}': 100 * float(np.nanmean(values)) for name, values in scores.items()
        }

        names = self.dataset_meta['classes']
        present = label.nonzero().flatten().tolist()
        self.per_class = [
            {
                'class': names[i],
                'IoU': 100 * float(intersect[i] / union[i]),
                'Acc': 100 * float(intersect[i] / label[i]),
                'pixels': int(label[i]),
            }
            for i in present
        ]
        metrics['mIoU_present'] = sum(row['IoU'] for row in self.per_class) / len(present)
        metrics['mIoU_constant'] = 100 * float(label.max() / label.sum()) / len(present)

        table = PrettyTable(['class', 'IoU', 'Acc', 'pixels'], align='r')
        for row in self.per_class:
            table.add_row([row['class'], f'{row["IoU"]:.2f}', f'{row["Acc"]:.2f}', row['pixels']])
        print_log(
            f'the {len(present)} of {len(names)} classes that occur:\n{table}', logger=MMLogger.get_current_instance()
        )
        return metrics
