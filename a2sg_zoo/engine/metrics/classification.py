"""Scores of a classification."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from a2sg_zoo.errors import DataError, NonFiniteError
from a2sg_zoo.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Shares of images that are classified rightly, in percent.

    `top1` and `top5` judge the mean of the logits over all time steps; `top1_t1`, `top1_t2`, ... the mean over the
    first 1, 2, ... steps: the score if the network stopped there. The last of these equals `top1`. With more than 16
    time steps, only the powers of two and the last step have a score. Where there are fewer than five classes, `top5`
    is 100.

    Takes, for each image, dict(logits=(T, classes), label=scalar tensor).

    Args:
        **kwargs: those of `mmengine.evaluator.BaseMetric`.

    Attributes:
        per_class: after an evaluation, on the main process: for each class that occurs, by label, a dict of `class`
            (its name), `Acc` (share of its images that are found, in percent) and `images` (their number).
        confusion: int64 tensor (classes, classes): images of the class of the row that are taken for that of the
            column, by `top1`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_class: list[dict[str, Any]] = []
        self.confusion: Tensor | None = None

    @classmethod
    def score_names(cls, **kwargs) -> list[str]:
        """Return the names of the scores of a metric with these arguments; see `score_names.score_names`."""
        return ['top1', 'top5', 'top1_t*']

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Tensor]]) -> None:
        """Compares the predictions of a batch with the labels.

        Args:
            data_batch: not used.
            data_samples: of each image, dict(logits=(T, classes), label=scalar).

        Raises:
            NonFiniteError: logits are NaN or infinite, of which an argmax would make a class.
        """
        logits = torch.stack([sample['logits'] for sample in data_samples]).float()
        labels = torch.stack([sample['label'] for sample in data_samples])
        sums = logits.cumsum(1)  # as good as means for an argmax
        found = sums.argmax(2)
        ranked = sums[:, -1].topk(min(5, logits.shape[2])).indices
        among_five = (ranked == labels[:, None]).any(1, keepdim=True)
        finite = logits.isfinite().flatten(1).all(1, keepdim=True)
        # on the host here, once a batch, and not as tensors of the device until the end
        rows = torch.cat([finite, labels[:, None], among_five, found], 1).cpu()
        if not rows[:, 0].all():
            number = len(self.results) + int(rows[:, 0].argmin())
            raise NonFiniteError(
                f'the network answers with NaN or infinity for sample {number} of the evaluation (of this process, '
                'from 0); its weights or this input are not usable'
            )
        classes = logits.shape[2]
        self.results += [(row, classes) for row in rows[:, 1:].unbind()]

    def compute_metrics(self, results: Sequence[tuple[Tensor, int]]) -> dict[str, float]:
        """The scores of all images.

        Raises:
            DataError: there are none.
        """
        if not results:
            raise DataError('nothing was evaluated: the data set has no samples')
        rows, classes = torch.stack([row for row, _ in results]), results[0][1]
        labels, among_five, found = rows[:, 0], rows[:, 1], rows[:, 2:]
        first = (100 * (found == labels[:, None]).double().mean(0)).tolist()
        self.confusion = torch.bincount(labels * classes + found[:, -1], minlength=classes**2).view(classes, classes)
        names = (self.dataset_meta or {}).get('classes') or [str(i) for i in range(classes)]
        images, right = self.confusion.sum(1), self.confusion.diagonal()
        self.per_class = [
            {'class': names[i], 'Acc': 100 * int(right[i]) / int(images[i]), 'images': int(images[i])}
            for i in images.nonzero().flatten().tolist()
        ]
        top5 = 100 * float(among_five.double().mean())
        T = len(first)
        reported = (t for t in range(1, T + 1) if T <= 16 or t == T or t.bit_count() == 1)
        return dict(top1=first[-1], top5=top5, **{f'top1_t{t}': first[t - 1] for t in reported})
