"""The hook that adds a loss on membrane potentials to a training."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from a2sg_zoo.engine.schedules import progress
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import named_neurons, recorded_potentials
from a2sg_zoo.registry import HOOKS, MODELS
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class MembraneLoss(Hook):
    """Adds weight * loss(membrane potentials) to the losses of any network with spiking neurons.

    The log shows it as `loss_membrane`. The loss of the task keeps its own name, usually `loss`. The membrane
    potentials are stored for the backward pass anyway, so this loss costs one pass over them and hardly any memory.
    Activation checkpointing computes some potentials a second time; these are not counted again.

    Args:
        loss: config of the loss, see `a2sg_zoo.models.losses.membrane`.
        weight: factor of the loss; with linear growth, its value at the end of the training.
        growth: 'constant', or 'linear' for a weight that grows with the share of the training that is done.

    Raises:
        ConfigError: `growth` is neither of these, or the network has no spiking neurons.
    """

    # before the policy, which may measure the network that the iteration trains
    priority = 'HIGH'

    def __init__(self, loss: Mapping, weight: float, growth: str = 'constant') -> None:
        if growth not in ('constant', 'linear'):
            raise ConfigError(f"MembraneLoss: growth must be 'constant' or 'linear', got {growth!r}")
        self.loss, self.weight, self.growth = MODELS.build(loss), weight, growth

    def before_run(self, runner: Runner) -> None:
        """Watches the forward passes of the network."""
        model = unwrap_model(runner.model)
        if not named_neurons(model):
            raise ConfigError(
                f'MembraneLoss: {type(model).__name__} has no spiking neurons, so there are no membrane potentials'
            )
        self.progress = 0.0
        self._recording: Any = None
        self._handles = [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, with_kwargs=True, always_call=True),
        ]

    def after_run(self, runner: Runner) -> None:
        """Watches them no longer."""
        for handle in self._handles:
            handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Notes the share of the training that is done."""
        self.progress = progress(runner)

    def _begin(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        if model.training and _asks_for_losses(args, kwargs):
            self._recording = recorded_potentials(model)
            self._potentials = self._recording.__enter__()

    def _end(self, model: nn.Module, args: tuple, kwargs: dict, losses: dict | None) -> None:
        if self._recording is None or not _asks_for_losses(args, kwargs):
            return  # a network may call itself
        recording, self._recording = self._recording, None
        recording.__exit__(None, None, None)
        if losses is not None:  # None where the forward pass failed
            weight = self.weight * (self.progress if self.growth == 'linear' else 1)
            losses['loss_membrane'] = weight * self.loss(self._potentials)
        self._potentials = None


def _asks_for_losses(args: tuple, kwargs: dict) -> bool:
    """Whether a network's forward(inputs, data_samples, mode) is called for its losses."""
    return 'loss' in (kwargs.get('mode'), *(x for x in args if isinstance(x, str)))
