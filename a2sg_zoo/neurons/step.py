"""The base class for neurons of any dynamics: a subclass says what happens in one time step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import backends
from a2sg_zoo.neurons.controllers import Controller, FixedWidths, widths_between
from a2sg_zoo.neurons.deferred import Search, Step, fire, mark_potential
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.neurons.multistep import Spike
from a2sg_zoo.neurons.neuron import Neuron
from a2sg_zoo.neurons.state import NeuronState, require_currents

# what a subclass writes as methods, and easily takes for names of its constants
_PARTS = ('start', 'charge', 'threshold', 'reset', 'rate', 'leak', 'unroll')


class Fire(Protocol):
    """What a time step calls to fire.

    Attributes:
        t: index in the sequence, from 0, of the time step that fires next.
    """

    t: int

    def __call__(self, u: Tensor, threshold: Tensor | float) -> tuple[Tensor, Tensor]:
        """(u to be used from now on, the spikes)."""


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

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless it would hide a part of the neuron."""
        # snnTorch calls the decay beta, and a parameter would take the place of the buffer
        if name in _PARTS or name == 'beta' and (not isinstance(value, Tensor) or isinstance(value, Parameter)):
            what = 'the widths of the surrogate window' if name == 'beta' else 'a part of every StepNeuron'
            raise ConfigError(f'{type(self).__name__}: self.{name} is {what}; give yours another name')
        super().__setattr__(name, value)

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
        """Goes through the time steps. A subclass may look at x as a whole, or compute all time steps at once.

        Args:
            x: input currents, (T, B, ...), float32 or float64.
            state: the state before the first of these time steps.
            fire: to be called once a time step as `u, s = fire(u, threshold)`.

        Returns:
            the state after the last time step.
        """
        for x_t in x.unbind():
            u, state = self._charged(state, x_t)
            u, s = fire(u, self.threshold(state))
            state = self.checked_state(x_t, self.reset(u, s, state))
        return state

    def advance(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, NeuronState]:
        """Spikes of some time steps of a sequence, and the state for the next ones; see `Neuron.advance`.

        Args:
            x: input current of the next time steps, (T, B, ...), floating point, T >= 1.
            state: what the call for the time steps before returned; None at the start of a sequence.

        Returns:
            (spikes of the shape and dtype of x, the state: tensors of the shape (B, ...), in float32 at least).

        Raises:
            ConfigError: x has fewer than two axes, no time step or integers, the state does not fit the neuron or x,
                or the widths were adapted for fewer time steps.
        """
        require_currents(self, x)
        size = len(self._started(wide(x[0])))
        known = None if state is None else self._checked_state(state, x, size)
        start = 0 if known is None else known.steps
        if self.backend not in (backends.compute_reference, backends.compute_fused):
            raise backends.no_chunks(self)
        firing: _Firing
        if self.backend is backends.compute_reference or not torch.is_grad_enabled():
            firing = _Plain(self.surrogate, widths_between(self.beta, start, len(x)), start)
        elif isinstance(known, StepState) and known.search.layer is self:
            firing = _Deciding(known.search, start, known.link)
            self.controller_from(start, start + len(x), known.search.controller)
        else:
            controller = self.controller_from(start, start + len(x))
            firing = _Deciding(Search(self, controller, start), start)
        s, after = self._steps(x, known, firing)
        if self.potentials is not None:
            self.potentials.append((self, firing.potentials(x)))
        return s, after

    def compute(self, x: Tensor, controller: Controller) -> tuple[Tensor, Tensor]:
        compiling = torch.compiler.is_compiling()
        if not torch.is_grad_enabled() or compiling and isinstance(controller, FixedWidths):
            # fixed widths become part of a compiled network
            return self.compute_reference(
                x, self.surrogate, self.beta if len(x) == self.beta.numel() else self.beta[-1]
            )
        return (_uncompiled if compiling else StepNeuron._decided)(self, x, controller)

    def compute_reference(
        self, x: Tensor, surrogate: Callable[[Tensor, Tensor], Tensor], beta: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        firing = _Plain(surrogate, beta)
        return self._steps(x, None, firing)[0], firing.potentials(x)

    def fire_at(self, u: Tensor) -> Tensor:
        """The spikes of given membrane potentials, as if `charge` had answered with them; (T, B, ...), float32 or 64.

        It shows the surrogate that acts, whatever the dynamics.
        """
        firing = _Deciding(Search(self, self.controller(len(u))))
        firing.begin(self, u)
        for u_t in u.unbind():
            firing(u_t, self.dynamics.v_threshold)
        return torch.stack(firing.spikes)

    def width_at(self, t: int, T: int) -> Tensor:
        """The width in force at time step t of T, a tensor of one element; beyond the widths that of the last."""
        return self.beta[min(t, self.beta.numel() - 1)]

    def wrong_time_steps(self, T: int) -> ConfigError:
        """The error for a forward pass of another number of time steps than the widths were adapted for."""
        return self._wrong_time_steps(T)

    def _decided(self, x, controller):
        firing = _Deciding(Search(self, controller))
        return self._steps(x, None, firing)[0], firing.potentials(x)

    def _steps(self, x, state, firing):
        firing.begin(self, x)
        if state is None:
            first = wide(x[0])
            start = self._started(first)
            state = tuple(v if isinstance(v, Tensor) else torch.full_like(first, v).detach() for v in start)
            state = self.checked_state(first, state)
        state = self.unroll(wide(x), state, firing)
        return torch.stack(firing.spikes).to(x.dtype), firing.state(state)

    def _started(self, x):
        start = self.start(x)
        if not isinstance(start, tuple) or not all(isinstance(value, (Tensor, float, int)) for value in start):
            raise ConfigError(
                f'{type(self).__name__}: start must answer with a tuple of numbers or tensors, such as (0.0,), got '
                f'{start!r}'
            )
        return start

    def _charged(self, state, x):
        charged = self.charge(state, x)
        if not isinstance(charged, tuple) or len(charged) != 2 or not isinstance(charged[1], tuple):
            raise ConfigError(
                f'{type(self).__name__}: charge must answer with a pair, the membrane potential and the state (a tuple)'
            )
        return charged

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


class StepState(NeuronState):
    """The state of a sequence with a search.

    Attributes:
        search: the search.
        link: the link of the last time step, see `deferred`.
    """

    search: Search
    link: Tensor | None


class _Firing:
    """Collects the spikes and potentials of a forward pass."""

    def __init__(self, t=0):
        self.spikes, self.fired, self.t = [], [], t

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
        self.t += 1
        self.spikes.append(s)
        if self.records:
            self.fired.append((u, threshold))
        return u, s

    def potentials(self, x):
        """u of all time steps, shifted so that v_threshold is where neurons fire; None if nobody records it."""
        if not self.records:
            return None
        nominal = self.neuron.v_threshold
        shifted = [u if threshold is nominal else u - threshold + nominal for u, threshold in self.fired]
        return torch.stack(shifted).to(x.dtype)


class _Plain(_Firing):
    """Fires in plain autograd, under widths that are given."""

    def __init__(self, surrogate, beta, t=0):
        super().__init__(t)
        self.surrogate, self.beta = surrogate, beta

    def fire(self, u, threshold):
        z = u - threshold
        if not torch.is_grad_enabled():
            return u, (z >= 0).to(z.dtype)
        t, beta = len(self.spikes), self.beta
        beta = beta[t] if isinstance(beta, Tensor) and beta.numel() > 1 else beta
        return u, Spike.apply(z, self.surrogate, beta)

    def state(self, tensors):
        return NeuronState(tensors, self.t)


class _Deciding(_Firing):
    """Fires under a search."""

    def __init__(self, search, t=0, link=None):
        super().__init__(t)
        self.search, self.link = search, link

    def begin(self, neuron, x):
        super().begin(neuron, x)
        self.search.T = max(self.search.T, self.t + len(x))

    def fire(self, u, threshold):
        step = Step(self.search, self.t)
        u, self.link = mark_potential(u, threshold, self.link, step)
        return u, fire(u, threshold, step)

    def state(self, tensors):
        state = StepState(tensors, self.t, self.search.controller)
        state.search, state.link = self.search, self.link
        return state


@leave_uncompiled
def _uncompiled(neuron, x, controller):
    return neuron._decided(x, controller)
