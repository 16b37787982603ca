"""The deferred surrogate: the search of one layer inside the backward pass of any dynamics.

For one layer and time step, a search needs z = u - threshold, g = dL/ds[t], the gradient c that reaches u[t] through
time, and d = delta[t+1]. Autograd gives all four, for any dynamics:

- the backward pass of the spike keeps z and g, and passes on no gradient;
- `mark_potential` puts a node of the graph above u. Autograd runs it when all users of u are through, so c[t] arrives
  there, whatever the dynamics (leak, reset, synaptic current, recurrence). The controller chooses beta[t], and the node
  passes on delta[t] = g f(z; beta[t]) + c[t];
- the node has a second output, the *link*, which is an input of the node of the next time step. Its "gradient" is
  delta[t+1], so d arrives with c, and time steps run from the last to the first even where the dynamics cut time.

Neurons of other libraries use the same `Search`. They get c by a hook, see `a2sg_zoo.adaptation.foreign.deferred`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from a2sg_zoo.compat import queue_after_backward
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.controllers import Controller, FixedWidths
from a2sg_zoo.neurons.dynamics import LocalGradient, wide
from a2sg_zoo.surrogates import Surrogate


class SearchedLayer(Protocol):
    """What a `Search` knows of a layer.

    Attributes:
        beta: the widths in force, (T,) or (1,).
        surrogate: the shape f(z; beta) that acts in the backward pass.
    """

    beta: Tensor
    surrogate: Surrogate

    @property
    def v_threshold(self) -> float:
        """Membrane potential at which a neuron fires."""

    def width_at(self, t: int, T: int) -> Tensor:
        """The width in force at time step t of T."""

    def wrong_time_steps(self, T: int) -> ConfigError:
        """The error for a forward pass of another number of time steps than the widths were adapted for."""


class Search:
    """The time steps of one layer in one forward pass, decided one after the other in its backward pass.

    Args:
        layer: the layer.
        controller: chooses the widths; None for the widths in force of the layer.
        first: index in the sequence, from 0, of the first time step.

    Attributes:
        decides: whether the backward pass asks the controller; if not, the widths in force act.
        T: number of time steps of the sequence so far, with those before `first`.
    """

    def __init__(self, layer: SearchedLayer, controller: Controller | None, first: int = 0) -> None:
        self.layer, self.controller, self.first = layer, controller, first
        self.decides = not (controller is None or isinstance(controller, FixedWidths))
        self.T = first
        self._widths: dict[int, Tensor] = {}
        self._finite: Tensor | None = None
        self._observed: dict[int, tuple[Tensor, Tensor]] = {}

    def width_at(self, t: int) -> Tensor:
        """The width in force at time step t, a tensor of one element."""
        beta = self.controller.beta if isinstance(self.controller, FixedWidths) else None
        if isinstance(beta, Tensor):
            return beta[min(t, beta.numel() - 1)]
        return self.layer.width_at(t, self.T)

    def step(self, t: int, z: Tensor, g: Tensor, c: Tensor | None, d: Tensor | None) -> tuple[Tensor, Tensor]:
        """Chooses beta[t], from the last time step to the first.

        Args:
            t: the time step, from 0.
            z: u[t] - threshold.
            g: dL/ds[t].
            c: the gradient that reaches u[t] through time, or None for zero.
            d: delta[t+1], or None for zero.

        Returns:
            (delta[t], its share g f(z; beta[t]) that comes through the spike).

        Raises:
            ConfigError: the layer's widths were adapted for another number of time steps.
        """
        controller = self.controller
        assert controller is not None
        if self._finite is None:
            if controller.searches and 1 < self.layer.beta.numel() < self.T:
                raise self.layer.wrong_time_steps(self.T)
            queue_after_backward(self.end)
            self._finite = torch.ones((), dtype=torch.bool, device=z.device)
        z, g, c = wide(z), wide(g), None if c is None else wide(c)
        if controller.searches:
            gradient = LocalGradient(z, g)
            if t < self.T - 1:
                gradient = LocalGradient(z, g, *(torch.zeros_like(g) if x is None else x for x in (c, d)))
            width = self._widths[t] = controller.choose_step(t, gradient)
            self._finite = self._finite & g.sum(dtype=torch.float32).isfinite()
        else:
            width = self.width_at(t)
        share = g * self.layer.surrogate(z, width.to(z.dtype))
        delta = share if c is None else share + c
        if controller.finish is not None:
            self._observed[t] = z.flatten(), delta.flatten()
        return delta, share

    def end(self) -> None:
        """Stores the widths and takes the statistics, at the end of the backward pass."""
        controller, finite = self.controller, self._finite
        if controller is None or finite is None:
            return
        widths = None
        if controller.searches:
            T = max(self.T, self.layer.beta.numel())
            widths = torch.stack([self._widths[t] if t in self._widths else self.width_at(t) for t in range(T)])
        controller.end_steps(widths, finite, self.first)
        if controller.finish is not None:
            zeros = torch.zeros_like(next(iter(self._observed.values()))[0])
            unknown = torch.full_like(zeros, torch.nan), zeros
            z, delta = (
                torch.stack(x) for x in zip(*(self._observed.get(t, unknown) for t in range(self.first, self.T)))
            )
            controller.finish(z + self.layer.v_threshold, delta)
        self._widths, self._finite, self._observed = {}, None, {}


class Step:
    """One time step of a `Search`; it brings z and g from the backward pass of the spike to that of the potential.

    Args:
        search: the search.
        t: the time step, from 0.
    """

    def __init__(self, search: Search, t: int) -> None:
        self.search, self.t = search, t
        self.z: Tensor | None = None
        self.g: Tensor | None = None

    def take(self) -> tuple[Tensor | None, Tensor | None]:
        """(z, g), which are forgotten here; (None, None) if the loss does not depend on the spikes."""
        z, g, self.z, self.g = self.z, self.g, None, None
        return z, g


def mark_potential(
    u: Tensor, threshold: Tensor | float, link: Tensor | None, step: Step
) -> tuple[Tensor, Tensor | None]:
    """Puts the node above u at which the search decides; to be called before anything else uses u.

    Args:
        u: membrane potential of one time step.
        threshold: a number, or a tensor that broadcasts to u. A tensor receives its gradient here.
        link: the link of the time step before, or None.
        step: the time step.

    Returns:
        (u, to be used from now on; the link for the next time step). Without a search, u and the link as they are.
    """
    if not step.search.decides:
        return u, link
    return _Potential.apply(u, threshold if isinstance(threshold, Tensor) else None, link, step)


def fire(u: Tensor, threshold: Tensor | float, step: Step) -> Tensor:
    """Spikes s = [u >= threshold] of one time step.

    Without a search, ds/du = f(z; beta) at the widths in force, which can be differentiated again.

    Args:
        u: membrane potential, from `mark_potential`.
        threshold: as for `mark_potential`.
        step: the time step.
    """
    return _Spike.apply(u, threshold, step)


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, threshold, link, step):
        ctx.step, ctx.threshold = step, _Kind.of(threshold)
        ctx.set_materialize_grads(False)
        return u.detach(), u.new_zeros(()).expand_as(u)  # no view, so the dynamics may change u in place

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, c, d):
        (z, g), (_, threshold, link, _) = ctx.step.take(), ctx.needs_input_grad
        if g is None:
            return c, None, c if link else None, None
        delta, share = ctx.step.search.step(ctx.step.t, z, g, c, d)
        delta = delta.to(z.dtype)
        return delta, ctx.threshold.gradient(share) if threshold else None, delta if link else None, None


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, threshold, step):
        z = u - threshold
        ctx.save_for_backward(z)
        ctx.step, ctx.threshold = step, _Kind.of(threshold)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, g):
        (z,), step = ctx.saved_tensors, ctx.step
        search = step.search
        if search.decides:
            step.z, step.g = z, g
            return None, None, None
        share = g * search.layer.surrogate(z, search.width_at(step.t).to(z.dtype))
        return share, ctx.threshold.gradient(share) if ctx.needs_input_grad[1] else None, None


class _Kind(NamedTuple):
    """Shape and precision of a threshold."""

    shape: torch.Size
    dtype: torch.dtype

    @classmethod
    def of(cls, threshold):
        return cls(threshold.shape, threshold.dtype) if isinstance(threshold, Tensor) else None

    def gradient(self, share):
        return -share.sum_to_size(self.shape).to(self.dtype)
