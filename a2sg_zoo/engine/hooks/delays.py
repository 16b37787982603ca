"""The hook that narrows the kernels of learned delays during a training."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.delays import MIN_SIGMA, delay_layers
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer, number
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class NarrowDelays(Hook):
    """Narrows the kernels of learned delays, see `DelayLinear`, and keeps the delays within their range.

        sigma[i] = sigma[0] (sigma_end / sigma[0])^min(1, i / end),    i the iteration

    sigma depends on the iteration alone, so a resumed run continues exactly.

    Args:
        end: the iteration at which the kernels have their final width; the published recipe takes a quarter of the
            training.
        sigma: the final width, in time steps, at least 0.1. The published code goes down to 0.23, to which its kernels
            add 0.27.

    Raises:
        ConfigError: an argument has a value that it cannot have, or the network has no layer with delays.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR 2024.
    """

    # before the policy, which may measure the network that the iteration trains
    priority = 'HIGH'

    def __init__(self, end: int, sigma: float = 0.5) -> None:
        self.end, self.sigma = integer('end', end, self), number('sigma', sigma, self, MIN_SIGMA)

    def before_train(self, runner: Runner) -> None:
        """Checks that there is something to narrow."""
        if next(delay_layers(unwrap_model(runner.model)), None) is None:
            raise ConfigError(
                'NarrowDelays: the network has no layer with delays (DelayLinear); leave the hook out of custom_hooks'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sets the widths of this iteration."""
        done = min(1.0, runner.iter / self.end)
        for layer in delay_layers(unwrap_model(runner.model)):
            layer.sigma.fill_(layer.initial_sigma * (self.sigma / layer.initial_sigma) ** done)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Moves delays that left their range to its end."""
        with torch.no_grad():
            for layer in delay_layers(unwrap_model(runner.model)):
                layer.delay.clamp_(0, layer.max_delay - 1)
