"""Controllers: what decides the widths of a layer's windows during one backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from a2sg_zoo.neurons.dynamics import LocalGradient
from a2sg_zoo.neurons.layer_gradients import LayerGradients
from a2sg_zoo.surrogates import Surrogate


class Controller(ABC):
    """Decides the widths of one layer's windows during one backward pass.

    Attributes:
        surrogate: the shape f(z; beta).
        finish: called at the end of the backward pass as `finish(u, delta)`, with u and delta = dL/du, each (T, N);
            None if nothing is to be called, which saves the time to compute delta.
        searches: whether a backward pass that goes one time step at a time, see `Search`, calls `choose_step`.
        first: the time step, from 0, at which the layer began under this controller.
        T: number of time steps that the layer has gone through under it; 0 for a layer that runs all at once.

    A layer that advances in chunks of time steps (`Neuron.advance`) has one controller for all of them. The backward
    pass then calls `choose` and `finish` once a chunk, from the last chunk to the first.
    """

    surrogate: Surrogate
    finish: Callable[[Tensor, Tensor], None] | None = None
    first = T = 0
    searches = False

    @abstractmethod
    def choose(self, gradients: LayerGradients) -> Tensor:
        """The widths of the time steps that `gradients` holds: a tensor of one element, or one for each step."""

    def extend(self, start: int, T: int) -> None:
        """Notes in the forward pass that the layer goes on from time step `start`, from 0, to T in all."""
        if not self.T:
            self.first = start
        self.T = max(self.T, T)

    def choose_step(self, t: int, gradient: LocalGradient) -> Tensor:
        """The width of one time step, a scalar tensor; called from the last time step to the first.

        Args:
            t: the time step, from 0.
            gradient: what delta[t] follows from, for all elements of the layer.
        """
        raise NotImplementedError

    def end_steps(self, widths: Tensor | None, finite: Tensor, first: int) -> None:
        """Called once after the calls of `choose_step`, or without them if this controller does not search.

        Args:
            widths: the widths of all time steps, (T,); None without a search.
            finite: whether the layer's gradient has neither NaN nor infinity, a boolean scalar tensor.
            first: the time step, from 0, at which the search began in the forward pass.
        """
        raise NotImplementedError


class NeuronPolicy(Protocol):
    """What a neuron asks its policy, see `a2sg_zoo.adaptation.Policy`.

    Attributes:
        searching: whether widths may change in this iteration.
    """

    searching: bool

    @property
    def active(self) -> bool:
        """Whether the backward passes of this iteration ask this policy; if not, widths stand still."""

    def controller(self, neuron: Any) -> Controller:
        """The controller for one backward pass of a neuron."""


class FixedWidths(Controller):
    """Widths that stand still: what a neuron uses when no policy is at work.

    Args:
        surrogate: the shape f(z; beta).
        beta: a number, or a tensor of one element or T.
    """

    def __init__(self, surrogate: Surrogate, beta: float | Tensor) -> None:
        self.surrogate, self.beta = surrogate, beta

    def choose(self, gradients: LayerGradients) -> Tensor:
        if not isinstance(self.beta, Tensor):
            return gradients.u.new_full((), self.beta)
        return widths_between(self.beta, gradients.start, len(gradients.u))

    def end_steps(self, widths: Tensor | None, finite: Tensor, first: int) -> None:
        pass


class Watched(Controller):
    """Another controller, with one more function that is called at the end of the backward pass.

    Args:
        controller: decides the widths.
        record: called as `record(u, delta)`, see `Controller.finish`; once for all chunks of a sequence, of which u
            and delta are kept until then.
    """

    def __init__(self, controller: Controller, record: Callable[[Tensor, Tensor], None]) -> None:
        self.controller, self.record, self.surrogate = controller, record, controller.surrogate
        self._start = 0
        self._kept: list[tuple[Tensor, Tensor]] = []

    def choose(self, gradients: LayerGradients) -> Tensor:
        self._start = gradients.start
        if gradients.later is None:
            self._kept = []
        return self.controller.choose(gradients)

    @property
    def searches(self) -> bool:
        """Whether the other controller searches."""
        return self.controller.searches

    def choose_step(self, t: int, gradient: LocalGradient) -> Tensor:
        return self.controller.choose_step(t, gradient)

    def end_steps(self, widths: Tensor | None, finite: Tensor, first: int) -> None:
        self.controller.end_steps(widths, finite, first)

    def extend(self, start: int, T: int) -> None:
        super().extend(start, T)
        self.controller.extend(start, T)

    def finish(self, u: Tensor, delta: Tensor) -> None:
        if self.controller.finish is not None:
            self.controller.finish(u, delta)
        self._kept.insert(0, (u, delta))
        if self._start <= self.first:
            u, delta = (torch.cat(x) if len(x) > 1 else x[0] for x in zip(*self._kept))
            self._kept = []
            self.record(u, delta)


def widths_between(beta: Tensor, start: int, steps: int) -> Tensor:
    """The widths of `steps` time steps from `start` on, (steps,), of beta, (T,); beta itself if it has one element.

    Time steps beyond T have the width of the last.
    """
    if beta.numel() == 1 or start == 0 and steps == beta.numel():
        return beta
    found = beta[start : start + steps]
    missing = steps - found.numel()
    return torch.cat([found, beta[-1:].expand(missing)]) if missing else found
