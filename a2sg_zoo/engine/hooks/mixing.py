"""The hook that ends the mixing of training images."""

from mmengine.hooks import Hook

from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model


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
            model = unwrap_model(runner.model)
            model.mix = None
