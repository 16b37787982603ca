"""The hook that ends the mixing of training images."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from a2sg_zoo.registry import HOOKS


@HOOKS.register_module()
class StopMixing(Hook):
    """Ends a classifier's mixing of images (see `SpikingClassifier`) before the training ends.

    Args:
        at: the first iteration, counted from 0, that is trained on images as they are.
    """

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter >= self.at:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            model.mix = None
