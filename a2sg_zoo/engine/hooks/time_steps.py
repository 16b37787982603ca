"""The hook that changes the number of time steps during a training."""

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import Neuron, named_neurons
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class GrowTimeSteps(Hook):
    """Trains with fewer time steps at first: a step of T = 1 costs half as much as one of T = 2.

    It sets `model.backbone.T` for the iterations of the training. Validation and everything after the training have the
    number of time steps that the network was built with. The number of an iteration depends on the iteration alone, so
    a resumed run continues exactly.

    Args:
        schedule: pairs (first iteration, T), in the order of iterations; the first pair begins at 0.

    Raises:
        ConfigError: `schedule` has another form, or the network has no backbone with time steps.
    """

    # before the policy, which may measure the network that the iteration trains
    priority = 'HIGH'

    def __init__(self, schedule: list[tuple[int, int]]) -> None:
        pairs = [tuple(pair) for pair in schedule]
        starts = [start for start, _ in pairs]
        if not pairs or starts[0] != 0 or starts != sorted(set(starts)):
            raise ConfigError(f'GrowTimeSteps: schedule must begin at iteration 0 and rise, got {schedule!r}')
        self._last = 0
        self.schedule = [(start, integer('schedule', T, self)) for start, T in pairs]

    def before_train(self, runner: Runner) -> None:
        """Notes the number of time steps that the network was built with."""
        backbone = getattr(unwrap_model(runner.model), 'backbone', None)
        if not hasattr(backbone, 'T'):
            raise ConfigError('custom_hooks: GrowTimeSteps needs a network with a spiking backbone, model.backbone')
        self.backbone, self.T = backbone, backbone.T

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sets the number of time steps of this iteration."""
        model = unwrap_model(runner.model)
        T = [T for start, T in self.schedule if start <= runner.iter][-1]
        if T != self._last:
            # a moving average has neurons, too
            averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
            for network in (model, *(average.module for average in averages)):
                for neuron in named_neurons(network).values():
                    if neuron.time_steps is not None and neuron.beta.numel() != T:
                        _change_time_steps(neuron, T)
            for average in averages:
                if average.update_buffers:  # it averages into these tensors
                    average.avg_parameters = average.module.state_dict()
            runner.logger.info(f'Time steps from iteration {runner.iter} on: T = {T}')
        self.backbone.T = self._last = T

    def before_val(self, runner: Runner) -> None:
        """Predicts with all time steps."""
        self.backbone.T = self.T

    def after_train(self, runner: Runner) -> None:
        """Leaves the network with all time steps."""
        self.backbone.T = self.T


def _change_time_steps(neuron: Neuron, T: int) -> None:
    """Gives all time steps the last width; what a policy keeps for each time step begins at zero."""
    before = neuron.beta.numel()
    for name, kept in neuron.named_buffers(recurse=False):
        if name.startswith('policy_') and kept.dim() and len(kept) == before:
            setattr(neuron, name, kept.new_zeros(T, *kept.shape[1:]))
    neuron.beta = neuron.beta[-1:].expand(T).clone()
    neuron.time_steps = T
