"""The hook that adds a loss on membrane potentials to a training."""

from mmengine.hooks import Hook

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import named_neurons, recorded_potentials
from a2sg_zoo.registry import HOOKS, MODELS
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class MembraneLoss(Hook):
    """Adds weight * loss(membrane potentials) to the losses of any network with spiking neurons.

    It appears in the log as `loss_membrane`; `loss` stays that of the task where the network calls it so. Potentials
    are kept for their gradients anyway, so it costs a pass over them and no memory to speak of. Under activation
    checkpointing, potentials that are computed a second time do not count a second time.

    Args:
        loss: config of the loss, see `a2sg_zoo.models.losses.membrane`.
        weight: its weight, at the end of the training if it grows.
        growth: 'constant', or 'linear' in the share of the training that is done.
    """

    def __init__(self, loss, weight, growth='constant'):
        if growth not in ('constant', 'linear'):
            raise ConfigError(f"MembraneLoss: growth must be 'constant' or 'linear', got {growth!r}")
        self.loss, self.weight, self.growth = MODELS.build(loss), weight, growth

    def before_run(self, runner):
        model = unwrap_model(runner.model)
        if not named_neurons(model):
            raise ConfigError(
                f'MembraneLoss: {type(model).__name__} has no spiking neurons whose potentials it could take'
            )
        self.progress, self._recording = 0.0, None
        self._handles = [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, with_kwargs=True, always_call=True),
        ]

    def after_run(self, runner):
        for handle in self._handles:
            handle.remove()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.progress = runner.iter / runner.max_iters

    def _begin(self, model, args, kwargs):
        if model.training and _asks_for_losses(args, kwargs):
            self._recording = recorded_potentials(model)
            self._potentials = self._recording.__enter__()

    def _end(self, model, args, kwargs, losses):
        if self._recording is None or not _asks_for_losses(args, kwargs):
            return  # a network may call itself on its way
        recording, self._recording = self._recording, None
        recording.__exit__(None, None, None)
        if losses is not None:  # None where the forward pass failed
            weight = self.weight * (self.progress if self.growth == 'linear' else 1)
            losses['loss_membrane'] = weight * self.loss(self._potentials)
        self._potentials = None


def _asks_for_losses(args, kwargs):
    """Whether a network's forward(inputs, data_samples, mode) is called for its losses."""
    return 'loss' in (kwargs.get('mode'), *(x for x in args if isinstance(x, str)))
