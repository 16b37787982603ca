"""The controller that asks a policy in a layer's backward pass; `base` shows the way of a width."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.neurons import Controller, LayerGradients, LocalGradient
from a2sg_zoo.neurons.controllers import widths_between
from a2sg_zoo.neurons.dynamics import wide

if TYPE_CHECKING:
    from a2sg_zoo.adaptation.base import Layer, Policy


class PolicyController(Controller):
    """Asks a policy for the widths of one layer in one backward pass, and stores the answers.

    Args:
        policy: the `Policy`.
        neuron: the layer.
    """

    def __init__(self, policy: Policy, neuron: Layer) -> None:
        self.policy, self.neuron, self.surrogate = policy, neuron, neuron.surrogate
        self.observing = policy.observing
        # a later forward pass may begin another iteration before this backward pass runs
        self.searching = policy.searching
        if not (policy.observing or self.searching and policy.looks_back):
            self.finish = None
        # the width found last, and its time step
        self._later: Tensor | None = None
        self._asked = math.inf
        # of the chunks of a sequence: where the latest one is, the widths in force before and those found, and u
        self._chunk: tuple[int | None, Tensor | None] = (None, None)
        self._in_force: Tensor | None = None
        self._found: Tensor | None = None
        self._finite: Tensor | None = None
        self._potentials: list[Tensor] = []

    @property
    def searches(self) -> bool:
        """Whether the policy is asked for a width at each time step."""
        return self.searching and self.policy.chooses_widths

    def width(self, t: int, gradient: LocalGradient) -> Tensor:
        """The width at time step t, a scalar tensor; to be called from the last time step to the first."""
        self._later, self._asked = self.policy.width(self.neuron, t, gradient, self._later), t
        self._later = self._later.to(self.neuron.beta.dtype)
        return self._later

    def choose_step(self, t: int, gradient: LocalGradient) -> Tensor:
        if gradient.d is not None and (t + 1) % self.policy.steps_per_width:
            return self._shared_width(t)
        runs = self.policy.runs(gradient.z.numel(), gradient.z.device)
        return self.width(t, gradient if runs is None else gradient.sampled(*runs))

    def _shared_width(self, t):
        """The width of a time step that is not searched: that of the next one whose turn it is, or of the last one."""
        decides = t + -(t + 1) % self.policy.steps_per_width
        if self._later is None or self._asked > decides:  # no gradient reached that one: its width stays
            beta = self.neuron.beta
            self._later, self._asked = beta[min(decides, beta.numel() - 1)], decides
        return self._later

    def end_steps(self, widths: Tensor | None, finite: Tensor, first: int) -> None:
        self.policy.note_asked(self.neuron)
        self.first, self._chunk = first, (first, None)
        if widths is not None:
            self.store(widths, summed_over_processes((~finite).float()) == 0)
        self._later, self._asked = None, math.inf

    def choose(self, gradients: LayerGradients) -> Tensor:
        """The widths of the time steps, one for each or one for all; stored in the neuron before the answer."""
        policy, neuron = self.policy, self.neuron
        policy.note_asked(neuron)
        start, (T, N) = gradients.start, gradients.u.shape
        self._chunk = (start, gradients.later) if self.T else (None, None)
        if not self.searches:
            return widths_between(neuron.beta, start, T)
        if gradients.later is None:
            self._later = self._in_force = None
        elif self._later is None:  # no gradient reached the time steps that follow, so they were not searched
            self._later = neuron.beta[-1]
        finite = torch.ones((), dtype=torch.bool, device=gradients.u.device)
        if policy.needs_gradient:
            # the sample may miss a NaN; `sum` is one pass and no copy to the host
            finite = summed_over_processes(gradients.grad_s.sum(dtype=torch.float32)).isfinite()
        runs = policy.runs(N, gradients.u.device)
        if runs is not None:
            gradients = gradients.sampled(*runs)
        at_once = policy.widths(neuron, gradients)
        widths = [neuron.beta.new_empty(())] * T if at_once is None else list(at_once.unbind())

        def shape(t, gradient):
            widths[t] = self.width(start + t, gradient)
            return self.surrogate(gradient.z, widths[t].to(gradient.z.dtype))

        if at_once is not None:
            self._later, self._asked = widths[0], start
        elif policy.needs_gradient and policy.steps_per_width > 1:
            self._scan_shared(gradients, widths, shape)
        elif policy.needs_gradient:
            gradients.scan(shape)
        else:
            for t in reversed(range(T)):
                if self._later is not None and (start + t + 1) % policy.steps_per_width:
                    widths[t] = self._shared_width(start + t)
                    continue
                z, g = wide(gradients.u[t]) - neuron.v_threshold, wide(gradients.grad_s[t])
                widths[t] = self.width(start + t, LocalGradient(z, g))
        if not self.T:
            return self.store(torch.stack(widths), finite)
        self._store_chunk(start, torch.stack(widths), finite)
        return widths_between(neuron.beta, start, T)

    def _scan_shared(self, gradients, widths, shape):
        """`gradients.scan(shape)`, in which time steps that share a width go through one kernel without a search."""
        later, t = gradients.later, len(widths) - 1
        while t >= 0:
            first = t
            if later is not None:
                while first >= 0 and (gradients.start + first + 1) % self.policy.steps_per_width:
                    first -= 1
            if first == t:
                (later,) = gradients.between(t, t + 1, later).scan(lambda _, gradient, t=t: shape(t, gradient))
                t -= 1
                continue
            part, width = gradients.between(first + 1, t + 1, later), self._shared_width(gradients.start + t)
            widths[first + 1 : t + 1] = [width] * (t - first)
            later, t = part.first_delta(self.surrogate, width, max(self.T, len(widths))), first

    def _store_chunk(self, start, widths, finite):
        """Stores the widths of a chunk, and takes back those of later chunks if a gradient is not finite."""
        beta = self.neuron.beta
        if self._in_force is None or self._found is None or self._finite is None:
            self._in_force = beta.expand(max(self.T, beta.numel())).clone()
            self._found, self._finite = self._in_force.clone(), torch.ones_like(finite)
        self._found[start : start + len(widths)] = widths
        self._finite = self._finite & finite
        self.neuron.set_widths(torch.where(self._finite, self._found, self._in_force))
        if start <= self.first:
            self.policy.remember(self.neuron, self._finite)

    def store(self, widths: Tensor, finite: Tensor) -> Tensor:
        """Stores new widths where the layer's gradient is finite, and keeps those in force where it is not.

        Args:
            widths: (T,).
            finite: a boolean scalar tensor.

        Returns:
            the widths in force from now on, (T,).
        """
        self.neuron.set_widths(torch.where(finite, widths, self.neuron.beta))
        self.policy.remember(self.neuron, finite)
        return self.neuron.beta

    def finish(self, u: Tensor, delta: Tensor) -> None:
        start, later = self._chunk
        if self.observing and start is None:
            self.policy.observe(self.neuron, u, delta)
        elif self.observing:
            self.policy.observe(self.neuron, u, delta, start, later)
        if self.searching and self.policy.looks_back:
            if later is None:
                self._potentials = []
            self._potentials.insert(0, u)
            if start is not None and start > self.first:
                return
            u = torch.cat(self._potentials) if len(self._potentials) > 1 else u
            self._potentials = []
            widths = self.policy.after(self.neuron, u)
            if widths is not None:
                self.neuron.set_widths(widths)
