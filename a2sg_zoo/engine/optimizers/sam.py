"""Sharpness-aware minimisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from a2sg_zoo.compat import accumulation_steps
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.norms import BATCH_NORMS
from a2sg_zoo.neurons import hold_widths
from a2sg_zoo.registry import OPTIM_WRAPPERS
from a2sg_zoo.utils.checks import positive
from a2sg_zoo.utils.models import unwrap_model
from a2sg_zoo.utils.randomness import random_state, random_state_restored, set_random_state


@OPTIM_WRAPPERS.register_module()
class SAMOptimWrapper(OptimWrapper):
    """Takes the gradient where the loss nearby is highest, and applies it to the weights as they were.

        e = rho g(w) / |g(w)|,    w <- w - step(g(w + e))

    |g| is the norm over all parameters. The second pass uses the same batch and the same random numbers. Batch norm
    statistics, widths of surrogates and observations are those of the first pass. A step costs two forward and two
    backward passes. A gradient that is not finite is passed on unchanged, so that `NonFiniteGuard` finds it.

    Args:
        rho: length of the climb e, in the unit of the weights.
        **kwargs: those of MMEngine's `OptimWrapper`; gradients cannot be accumulated.

    Raises:
        ConfigError: `rho` is not positive, or gradients are to be accumulated.

    Source: Foret et al., ICLR 2021.
    """

    def __init__(self, *args: Any, rho: float = 0.05, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rho = positive('rho', rho, self)
        self._forward: Any = None
        if accumulation_steps(self) != 1:
            raise ConfigError(
                'SAMOptimWrapper climbs along the gradient of a batch, and cannot accumulate it over '
                f'{accumulation_steps(self)}; leave out optim_wrapper.accumulative_counts'
            )

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass; it notes the inputs and the random state for the second pass.

        Args:
            model: the network.
        """

        def keep(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if self._forward is None:  # a network may call itself
                self._forward = model, args, kwargs, random_state(next(model.parameters()).device)

        self._forward = None
        handle = model.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with super().optim_context(model):
                yield
        finally:
            handle.remove()

    def update_params(
        self, loss: torch.Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Runs the backward pass, the second pass, and the optimiser's step.

        Args:
            loss: of the first pass, a scalar.
            step_kwargs: for the optimiser's `step`.
            zero_kwargs: for its `zero_grad`.

        Raises:
            ConfigError: the loss was not computed within `optim_context`.
        """
        if self._forward is None:
            raise ConfigError(
                'SAMOptimWrapper.update_params runs the forward pass again: compute each loss within '
                '`with wrapper.optim_context(model):`'
            )
        model, args, kwargs, state = self._forward
        self._forward = None  # it holds a batch
        self.backward(loss)
        parameters = [p for group in self.param_groups for p in group['params'] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        # without a host sync: where the norm is zero or not finite, the weights stay
        climb = torch.where(norm.isfinite() & (norm > 0), self.rho / norm, 0.0)
        first, start = [p.grad.clone() for p in parameters], [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p, g in zip(parameters, first):
                p.addcmul_(torch.where(norm.isfinite(), g, 0.0), climb)
        self.zero_grad(**(zero_kwargs or {}))
        with hold_widths(model), _statistics_restored(model), _random_numbers(state):
            losses = model(*args, **kwargs)
            self.backward(unwrap_model(model).parse_losses(losses)[0])
        with torch.no_grad():
            for p, w, g in zip(parameters, start, first):
                p.copy_(w)
                p.grad = torch.where(norm.isfinite(), g if p.grad is None else p.grad, g)
        self.step(**(step_kwargs or {}))
        self.zero_grad(**(zero_kwargs or {}))


@contextmanager
def _statistics_restored(model: nn.Module) -> Iterator[None]:
    """Within it, batch norms update their statistics; at its end they are restored."""
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORMS) and m.track_running_stats]
    buffers = [(b, b.clone()) for m in norms for b in m.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextmanager
def _random_numbers(state: Any) -> Iterator[None]:
    """Within it, torch's generators continue from `state`; afterwards they continue from where they were."""
    with random_state_restored(state.device):
        set_random_state(state)
        yield
