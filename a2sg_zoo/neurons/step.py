"""The base class for neurons of any dynamics: a subclass says what happens in one time step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.controllers import Controller, FixedWidths
from a2sg_zoo.neurons.deferred import Search, Step, fire, mark_potential
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.neurons.multistep import Spike
from a2sg_zoo.neurons.neuron import Neuron

# called as fire(u, threshold), answers with (u to be used from now on, s)
Fire = Callable[[Tensor, Tensor | float], tuple[Tensor, Tensor]]


class StepNeuron(Neuron):
    """A layer of neurons with any dynamics, written as one time step.

        u, state = charge(state, x[t])
        s[t]     = 1 if u >= threshold(state) else 0
        state    = reset(u, s[t], state)

    A subclass needs only `charge`. The search of widths, statistics, checkpoints, recorded potentials and the rest of
    `Neuron` come with this class; gradients are those of autograd. Each operation of a time step is a node of the
    graph, so `IF`, `LIF` and `PLIF`, which have a kernel and a backward pass of their own, are several times as fast.

    The names `beta` (the widths), `rate`, `order`, `policy`, `backend`, `surrogate` and `dynamics` belong to `Neuron`.

    Args:
        **kwargs: see `Neuron`.

    >>> import torch
    >>> class Leaky(StepNeuron):
    ...     def charge(self, state, x):
    ...         (v,) = state
    ...         return 0.5 * v + x, state
    >>> Leaky(T=3)(torch.full((3, 1), 0.7)).flatten()  # u = 0.7, 1.05, 0.7
    tensor([0., 1., 0.])
    """

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """The state before the first time step; by default the membrane potential v_reset alone.

        Args:
            x: the input of one time step, (B, ...).

        Returns:
            numbers, or tensors of the shape of x.
        """
        return (self.dynamics.v_reset,)

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The membrane potential before the spike.

        Args:
            state: what the last time step left behind, see `start` and `reset`.
            x: the input of one time step, (B, ...), float32 or float64.

        Returns:
            (u, the state), where u has the shape of x. The state may have changed; its first element, the potential v
            after the last spike, is replaced by `reset`.
        """
        raise NotImplementedError(f'{type(self).__name__} has no method charge(state, x)')

    def threshold(self, state: tuple[Tensor, ...]) -> Tensor | float:
        """The membrane potential at which a neuron fires, by default v_threshold.

        Args:
            state: as `charge` left it.

        Returns:
            a number, or a tensor that broadcasts to u, for thresholds that change or are learned.
        """
        return self.dynamics.v_threshold

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after the spikes; by default the first element becomes `reset_potential(u, s)`.

        Args:
            u: membrane potential before the spike.
            s: spikes, 0 or 1, of the shape of u.
            state: as `charge` left it.
        """
        return (self.reset_potential(u, s), *state[1:])

    def leak(self, v: Tensor, x: Tensor, tau: float | Tensor) -> Tensor:
        """The membrane potential of a `LIF` with the time constant tau, from v after the last spike and the input x."""
        if self.decay_input:
            return v + (x - (v - self.dynamics.v_reset)) / tau
        return (1 - 1 / tau) * v + x

    def reset_potential(self, u: Tensor, s: Tensor, threshold: Tensor | float | None = None) -> Tensor:
        """v = u (1 - s) + v_reset s under a hard reset, v = u - threshold s under a soft one.

        Args:
            u: membrane potential.
            s: spikes; they count as a constant in the backward pass if the neuron has `detach_reset`.
            threshold: what a soft reset subtracts; by default v_threshold.
        """
        s = s.detach() if self.dynamics.detach_reset else s
        if threshold is not None and not self.dynamics.hard_reset:
            return u - threshold * s
        return self.dynamics.reset(u, s)

    def unroll(self, x: Tensor, state: tuple[Tensor, ...], fire: Fire) -> tuple[Tensor, ...]:
        """Goes through the time steps. A subclass without a state replaces it.

        Args:
            x: input currents, (T, B, ...), float32 or float64.
            state: the state before the first of these time steps.
            fire: to be called once a time step as `u, s = fire(u, threshold)`; answers with the potential to be used
                from then on, and the spikes.

        Returns:
            the state after the last time step.
        """
        for x_t in x.unbind():
            u, state = self.charge(state, x_t)
            u, s = fire(u, self.threshold(state))
            state = self.checked_state(x_t, self.reset(u, s, state))
        return state

    def advance(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs some time steps of a sequence, which goes on in the next call.

        Two calls over two halves equal one call over the whole: in spikes, in gradients, and in the widths that a
        search chooses, if one backward pass goes through both calls.

        Args:
            x: input currents, (T, B, ...).
            state: what the last call returned; None at the start of a sequence. Tensors of a state that were detached
                start a sequence of their own for a search.

        Returns:
            (spikes of the shape and dtype of x, the state: tensors of the shape (B, ...)).

        Raises:
            ConfigError: the state does not fit the neuron or x.
            ValueError: x has fewer than two axes.
        """
        if x.dim() < 2:
            raise ValueError(f'{type(self).__name__} takes (T, B, ...), got a tensor of shape {tuple(x.shape)}')
        search, t, link = None, 0, None
        if isinstance(state, State):
            search, t, link = state.search, state.t, state.link
        if search is None or search.layer is not self:
            search, t, link = Search(self, self.controller(self.beta.numel())), 0, None
        return self._steps(x, state, _Deciding(search, t, link))

    def compute(self, x: Tensor, controller: Controller) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_compiling() and isinstance(controller, FixedWidths):
            # fixed widths become part of the compiled network
            return self.compute_reference(x, self.surrogate, controller.beta)
        run = _uncompiled if torch.compiler.is_compiling() else StepNeuron._decided
        return run(self, x, controller)

    def compute_reference(
        self, x: Tensor, surrogate: Callable[[Tensor, Tensor], Tensor], beta: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        firing = _Plain(surrogate, beta)
        return self._steps(x, None, firing)[0], firing.potentials(self, x)

    def width_at(self, t: int, T: int) -> Tensor:
        """The width in force at time step t of T, a tensor of one element."""
        n = self.beta.numel()
        if n not in (1, T) and self.training and bool((self.beta != self.beta[-1]).any()):
            raise self.wrong_time_steps(T)
        return self.beta[t if 1 < n == T else -1]

    def wrong_time_steps(self, T: int) -> ConfigError:
        """The error for a forward pass of another number of time steps than the widths were adapted for."""
        return self._wrong_time_steps(T)

    def _decided(self, x, controller):
        firing = _Deciding(Search(self, controller))
        return self._steps(x, None, firing)[0], firing.potentials(self, x)

    def _steps(self, x, state, firing):
        firing.begin(self, x)
        state = self._full_state(x[0], state)
        state = self.unroll(wide(x), state, firing)
        return torch.stack(firing.spikes).to(x.dtype), firing.state(state)

    def _full_state(self, x, state):
        start = self.start(wide(x))
        if state is None:
            return tuple(_filled(wide(x), value) for value in start)
        if len(state) != len(start):
            raise ConfigError(f'{type(self).__name__}: a state has {len(start)} tensors, but this one has {len(state)}')
        return self.checked_state(x, state)

    def checked_state(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state, if all its elements are tensors of the shape of x, the input of one time step.

        Raises:
            ConfigError: one of them is not.
        """
        for i, value in enumerate(state):
            if not isinstance(value, Tensor) or value.shape != x.shape:
                shown = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
                raise ConfigError(
                    f'{type(self).__name__}: element {i} of the state must be a tensor of the shape of one time step, '
                    f'{tuple(x.shape)}, got {shown}'
                )
        return tuple(state)

    def extra_repr(self) -> str:
        constants = [f'{name}={value:g}, ' for name, value in vars(self).items() if isinstance(value, float)]
        return ''.join(constants) + super().extra_repr()


class State(tuple):
    """The state that `StepNeuron.advance` returns: a tuple of tensors, and where the search of its sequence stands.

    Attributes:
        search: the search of the sequence.
        t: number of time steps so far.
        link: the link of the last time step, see `deferred`.
    """

    search: Search
    t: int
    link: Tensor | None

    def __new__(cls, tensors: Iterable[Tensor], search: Search, t: int, link: Tensor | None) -> State:
        """Make a state of tensors."""
        self = super().__new__(cls, tensors)
        self.search, self.t, self.link = search, t, link
        return self


class _Firing:
    """Collects the spikes and potentials of a forward pass."""

    def __init__(self):
        self.spikes, self.fired = [], []
        self.neuron = self.shape = None

    def begin(self, neuron, x):
        self.neuron, self.shape, self.records = neuron, x.shape[1:], neuron.potentials is not None

    def __call__(self, u, threshold):
        owner = type(self.neuron).__name__
        if u.shape != self.shape:
            raise ConfigError(
                f'{owner}: charge answers with a potential of the shape {tuple(u.shape)} for an input of the shape '
                f'{tuple(self.shape)}'
            )
        if not isinstance(threshold, (Tensor, float, int)):
            raise ConfigError(f'{owner}: threshold must be a number or a tensor, got {threshold!r}')
        u, s = self.fire(u, threshold)
        self.spikes.append(s)
        if self.records:
            self.fired.append((u, threshold))
        return u, s

    def potentials(self, neuron, x):
        """u of all time steps, shifted so that v_threshold is where neurons fire; None if nobody records it."""
        if not self.records:
            return None
        nominal = neuron.v_threshold
        shifted = [u if threshold is nominal else u - threshold + nominal for u, threshold in self.fired]
        return torch.stack(shifted).to(x.dtype)


class _Plain(_Firing):
    """Fires in plain autograd, under widths that are given."""

    def __init__(self, surrogate, beta):
        super().__init__()
        self.surrogate, self.beta = surrogate, beta

    def fire(self, u, threshold):
        z = u - threshold
        if not torch.is_grad_enabled():
            return u, (z >= 0).to(z.dtype)
        t, beta = len(self.spikes), self.beta
        beta = beta[t] if isinstance(beta, Tensor) and beta.numel() > 1 else beta
        return u, Spike.apply(z, self.surrogate, beta)

    def state(self, tensors):
        return tensors


class _Deciding(_Firing):
    """Fires under a search."""

    def __init__(self, search, t=0, link=None):
        super().__init__()
        self.search, self.t, self.link = search, t, link

    def begin(self, neuron, x):
        super().begin(neuron, x)
        self.search.T = max(self.search.T, self.t + len(x))

    def fire(self, u, threshold):
        step = Step(self.search, self.t)
        self.t += 1
        u, self.link = mark_potential(u, threshold, self.link, step)
        return u, fire(u, threshold, step)

    def state(self, tensors):
        return State(tensors, self.search, self.t, self.link)


@leave_uncompiled
def _uncompiled(neuron, x, controller):
    return neuron._decided(x, controller)


def _filled(x, value):
    return value if isinstance(value, Tensor) else torch.full_like(x, value, requires_grad=False)
