"""The hook that scores a classifier on its own training images, beside every validation."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class TrainingScores(Hook):
    """Adds three scores to those of each validation, so that a log shows how far a network overfits.

    - `train_top1`: share of the training images that are classified rightly, in percent;
    - `train_loss` and `val_loss`: mean loss over the training and the validation images.

    All are measured without augmentation, in evaluation mode. Every process of a distributed run measures the same.

    Args:
        images: number of images of each kind that are measured, spread evenly over the data set.
        batch_size: images that are measured at once.

    Raises:
        ConfigError: the model is no classifier, or a data set does not hold its images in memory.
    """

    # before the hooks that log the scores
    priority = 'HIGHEST'
    # what `save_best` can name beside the scores of the evaluator
    score_names = ('train_top1', 'train_loss', 'val_loss')

    def __init__(self, images: int = 2000, batch_size: int = 250) -> None:
        self.images, self.batch_size = integer('images', images, self), integer('batch_size', batch_size, self)

    def before_train(self, runner: Runner) -> None:
        """Checks the model and the data sets."""
        if not hasattr(getattr(unwrap_model(runner.model), 'head', None), 'loss'):
            raise ConfigError('custom_hooks: TrainingScores needs a classifier, such as SpikingClassifier')
        for loader in ('train_dataloader', 'val_dataloader'):
            if not isinstance(getattr(getattr(runner, loader).dataset, 'images', None), Tensor):
                raise ConfigError(
                    f'custom_hooks: TrainingScores needs {loader}.dataset.images, as CIFAR, ImageFolder and Digits have'
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Adds the scores to `metrics`."""
        if metrics is None:
            return
        model = unwrap_model(runner.model)
        metrics['train_top1'], metrics['train_loss'] = self._scores(model, runner.train_dataloader.dataset)
        metrics['val_loss'] = self._scores(model, runner.val_dataloader.dataset)[1]

    @torch.no_grad()
    def _scores(self, model: Any, data: Any) -> tuple[float, float]:
        """Accuracy in percent, and mean loss."""
        chosen = torch.linspace(0, len(data) - 1, min(self.images, len(data))).long()
        right = loss = 0.0
        for part in chosen.split(self.batch_size):
            labels = torch.tensor([data.labels[i] for i in part])
            batch = model.data_preprocessor(dict(inputs=list(data.images[part]), data_samples=labels))
            logits, labels = model.test_logits(batch['inputs']), batch['data_samples']
            right = right + (logits.float().mean(0).argmax(1) == labels).sum()
            loss = loss + model.head.loss(logits, labels).float() * len(part)
        return 100 * float(right) / len(chosen), float(loss) / len(chosen)
