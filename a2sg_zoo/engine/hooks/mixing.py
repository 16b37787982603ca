"""The hook that ends the mixing of training images."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class StopMixing(Hook):
    """Ends a classifier's mixing of images (see `SpikingClassifier`) before the training ends.

    Args:
        at: the first iteration, counted from 0, that is trained on images as they are.

    Raises:
        ConfigError: `at` is no integer, or negative.
    """

    # before the policy, which may measure the network that the iteration trains
    priority = 'HIGH'

    def __init__(self, at: int) -> None:
        self.at = integer('at', at, self, 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Switches the mixing off once iteration `at` is reached."""
        if runner.iter >= self.at:
            unwrap_model(runner.model).mix = None
