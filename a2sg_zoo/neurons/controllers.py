"""Controllers: what decides the widths of a layer's windows during one backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from a2sg_zoo.neurons.dynamics import LocalGradient
    from a2sg_zoo.neurons.multistep import LayerGradients
    from a2sg_zoo.surrogates import Surrogate


class Controller(ABC):
    """Decides the widths of one layer's windows during one backward pass.

    Attributes:
        surrogate: the shape f(z; beta).
        finish: called at the end of the backward pass as `finish(u, delta)`, with u and delta = dL/du, each (T, N);
            None if nothing is to be called, which saves the time to compute delta.
        searches: whether a backward pass that goes one time step at a time, see `Search`, calls `choose_step`.
    """

    surrogate: Surrogate
    finish: Callable[[Tensor, Tensor], None] | None = None
    searches = False

    @abstractmethod
    def choose(self, gradients: LayerGradients) -> Tensor:
        """The widths, a tensor of one element or T. A backward pass over all time steps at once calls it once."""

    def choose_step(self, t: int, gradient: LocalGradient) -> Tensor:
        """The width of one time step, a scalar tensor; called from the last time step to the first.

        Args:
            t: the time step, from 0.
            gradient: what delta[t] follows from, for all elements of the layer.
        """
        raise NotImplementedError

    def end_steps(self, widths: Tensor | None, finite: Tensor) -> None:
        """Called once after the calls of `choose_step`, or without them if this controller does not search.

        Args:
            widths: the widths of all time steps, (T,); None without a search.
            finite: whether the layer's gradient has neither NaN nor infinity, a boolean scalar tensor.
        """


class FixedWidths(Controller):
    """Widths that stand still: what a neuron uses when no policy is at work.

    Args:
        surrogate: the shape f(z; beta).
        beta: a number, or a tensor of one element or T.
    """

    def __init__(self, surrogate: Surrogate, beta: float | Tensor) -> None:
        self.surrogate, self.beta = surrogate, beta

    def choose(self, gradients: LayerGradients) -> Tensor:
        return self.beta if isinstance(self.beta, Tensor) else gradients.u.new_full((), self.beta)


class Watched(Controller):
    """Another controller, with one more function that is called at the end of the backward pass.

    Args:
        controller: decides the widths.
        record: called as `record(u, delta)`, see `Controller.finish`.
    """

    def __init__(self, controller: Controller, record: Callable[[Tensor, Tensor], None]) -> None:
        self.controller, self.record, self.surrogate = controller, record, controller.surrogate

    def choose(self, gradients: LayerGradients) -> Tensor:
        return self.controller.choose(gradients)

    @property
    def searches(self) -> bool:
        """Whether the other controller searches."""
        return self.controller.searches

    def choose_step(self, t: int, gradient: LocalGradient) -> Tensor:
        return self.controller.choose_step(t, gradient)

    def end_steps(self, widths: Tensor | None, finite: Tensor) -> None:
        self.controller.end_steps(widths, finite)

    def finish(self, u: Tensor, delta: Tensor) -> None:
        if self.controller.finish is not None:
            self.controller.finish(u, delta)
        self.record(u, delta)
