"""The hook that draws where a classifier is wrong."""

import heapq
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import check_output, check_output_folder, write_output
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.visualization import confusion_picture, mistakes_sheet


@HOOKS.register_module()
class ClassificationPictures(Hook):
    """Draws the worst mistakes of a test, and its confusion matrix, to `mistakes.png` and `confusion.png`.

    A mistake is the worse, the more the probability of the class that was chosen exceeds that of the right one; the
    probabilities are those of the mean of the logits over time. Only pictures of an earlier test are replaced.

    Args:
        show_dir: folder for the pictures of a test; None draws none.
        limit: mistakes on the sheet.
    """

    priority = 'LOW'

    def __init__(self, show_dir: str | os.PathLike | None = None, limit: int = 40) -> None:
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.limit = integer('limit', limit, self)
        self._worst: list[tuple[float, int, dict[str, Any]]] = []
        self._ties, self._seen = count(), 0

    def before_test(self, runner: Runner) -> None:
        """Refuses, before the evaluation, a folder with files of others under the names of the pictures.

        Raises:
            ConfigError: there is one, the folder cannot be written, or no metric counts mistakes.
        """
        self._worst, self._seen = [], 0
        if self.show_dir is not None and is_main_process():
            self.show_dir = check_output_folder(self.show_dir, 'test')
            for name in ('mistakes.png', 'confusion.png'):
                check_output(self.show_dir / name, 'test')
        if self.show_dir is not None and not any(hasattr(m, 'confusion') for m in runner.test_evaluator.metrics):
            raise ConfigError('--show-dir: test_evaluator has no metric Accuracy, from which the mistakes are drawn')

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Keeps the worst mistakes so far."""
        if self.show_dir is None or not outputs or data_batch is None:
            return
        p = torch.stack([sample['logits'] for sample in outputs]).float().mean(1).softmax(1).cpu()
        labels = torch.stack([sample['label'] for sample in outputs]).cpu()
        best, chosen = p.max(1)
        excess = best - p.gather(1, labels[:, None])[:, 0]
        for i in (chosen != labels).nonzero().flatten().tolist():
            # samples are dealt to the processes in turn
            position = (self._seen + i) * get_world_size() + get_rank()
            image = torch.as_tensor(data_batch['inputs'][i]).cpu()
            found = dict(position=position, truth=int(labels[i]), chosen=int(chosen[i]), p=float(best[i]), image=image)
            mistake = float(excess[i]), next(self._ties), found
            (heapq.heappush if len(self._worst) < self.limit else heapq.heappushpop)(self._worst, mistake)
        self._seen += len(outputs)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Writes the pictures."""
        if self.show_dir is None:
            return
        gathered = [mistake for mistakes in all_gather_object(self._worst) for mistake in mistakes]
        self._worst = []
        if not is_main_process():
            return
        confusion = next(m.confusion for m in runner.test_evaluator.metrics if hasattr(m, 'confusion'))
        worst = [found for _, _, found in sorted(gathered, key=lambda mistake: -mistake[0])[: self.limit]]
        names = runner.test_dataloader.dataset.metainfo.get('classes') or [str(i) for i in range(len(confusion))]
        write_output(confusion_picture(confusion, names), self.show_dir / 'confusion.png', 'test')
        if worst:
            write_output(mistakes_sheet(worst, names), self.show_dir / 'mistakes.png', 'test')
        runner.logger.info(f'Pictures are in {self.show_dir}')
