"""Membrane dynamics over all time steps as pure functions, with a hand-written backward pass.

For t = 1 .. T, with r = 1 / tau the leak rate (r = 0: no leak):

    u[t] = (1 - r) v[t-1] + r (x[t] + v_reset)    decay_input      the input is averaged
    u[t] = (1 - r) v[t-1] + x[t]                  otherwise        the input is summed; r = 0 is the IF neuron
    s[t] = 1 if u[t] >= v_threshold else 0
    v[t] = u[t] (1 - s[t]) + v_reset s[t]         hard reset
    v[t] = u[t] - v_threshold s[t]                soft reset

and v[0] = v_reset. The backward pass, with g[t] = dL/ds[t], z = u - v_threshold and f the surrogate shape, is

    delta[t] = dL/du[t] = g[t] f(z[t]; beta[t]) + c[t],    c[t] = (1 - r) delta[t+1] dv[t]/du[t],    c[T] = 0

A long sequence can be computed in chunks of time steps. What a chunk hands to the next one is

    q[t] = (1 - r) v[t] + shift,    so that u[t+1] = q[t] + gain x[t+1]    and    dL/dq[t] = delta[t+1]

with the coefficients of `Dynamics.coefficients`. So spikes go forward and gradients go backward from chunk to chunk
without a difference to one pass over the whole sequence.

With `detach_reset`, s in the reset counts as a constant. Without it, the reset adds a term that is proportional to f;
`LocalGradient.g` includes this term.

These functions work one time step at a time and element by element, so a compiler can turn each into one pass over
memory (see `fused`). Half precision is widened to float32. u is rounded to the stored precision before the threshold
is applied, because the backward pass knows only the stored u and must see the same spikes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dynamics:
    """The constants of a layer of neurons.

    Attributes:
        v_threshold: membrane potential at which a neuron fires.
        v_reset: membrane potential before the first input, and after a spike under a hard reset.
        decay_input: True if the input is averaged, False if it is summed.
        hard_reset: True for a reset to `v_reset`, False if `v_threshold` is subtracted.
        detach_reset: whether the backward pass treats the spike in the reset as a constant.
    """

    v_threshold: float = 1.0
    v_reset: float = 0.0
    decay_input: bool = True
    hard_reset: bool = True
    detach_reset: bool = True

    def coefficients(self, rate: float | Tensor) -> tuple[float | Tensor, float | Tensor, float | Tensor]:
        """(decay, gain, shift) of u[t] = decay v[t-1] + gain x[t] + shift, for the leak rate r."""
        if self.decay_input:
            return 1 - rate, rate, rate * self.v_reset
        return 1 - rate, 1.0, 0.0

    def initial(self, rate: float | Tensor) -> float | Tensor:
        """q[0], which u[1] = q[0] + gain x[1] begins with."""
        decay, _, shift = self.coefficients(rate)
        return decay * self.v_reset + shift

    def carried(self, u: Tensor, s: Tensor, rate: float | Tensor) -> Tensor:
        """q[t] = decay v[t] + shift, which u[t+1] = q[t] + gain x[t+1] begins with."""
        decay, _, shift = self.coefficients(rate)
        q = self.reset(u, s) * decay
        return q + shift if self.decay_input and self.v_reset else q

    def reset(self, u: Tensor, s: Tensor) -> Tensor:
        """v after the spikes s."""
        if not self.hard_reset:
            return u - s * self.v_threshold
        # a product of 0 and 1, because a masked fill takes many times as long on a CPU
        v = u - u * s
        return v + s * self.v_reset if self.v_reset else v


class LocalGradient(NamedTuple):
    """What determines delta[t] = g f(z; beta) + c at one time step of one layer. All tensors have one shape.

    Attributes:
        z: u[t] - v_threshold.
        g: the factor of the surrogate: dL/ds[t], plus the share of the reset if the reset is not detached.
        c: the gradient that reaches u[t] through time, which does not depend on beta[t]; None at t = T.
        d: delta[t+1]; None at t = T.
    """

    z: Tensor
    g: Tensor
    c: Tensor | None = None
    d: Tensor | None = None

    def sampled(self, runs: Tensor, length: int) -> 'LocalGradient':
        """The same for some of the elements, see `sampled_runs`. The tensors become flat."""
        return LocalGradient(*(None if x is None else sampled_runs(x.flatten(), runs, length) for x in self))


def sampled_runs(x: Tensor, runs: Tensor, length: int) -> Tensor:
    """Some elements of the last axis of x: runs of `length` neighbours in memory. `runs` holds their indices, (n,)."""
    end = x.shape[-1] // length * length
    # several times as fast as brackets
    return x[..., :end].unflatten(-1, (-1, length)).index_select(-2, runs).flatten(-2)


def forward_pass(
    x: Tensor,
    rate: float | Tensor,
    dynamics: Dynamics,
    fire: Callable[[int, Tensor], Tensor] | None = None,
    q: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and membrane potentials over all time steps.

    Args:
        x: input current, (T, ...), floating point.
        rate: the leak rate r = 1 / tau; a number, or a scalar tensor.
        dynamics: the constants of the layer.
        fire: called as `fire(t, u[t])`, answers with s[t]; by default the step at the threshold, which has no gradient.
        q: what the time steps before x hand over, of the shape of one time step and not in half precision; None at the
            start of a sequence.

    Returns:
        (s, u), both of the shape and dtype of x.
    """
    spikes, potentials, _ = _forward_steps(x, rate, dynamics, fire, q)
    return torch.stack(spikes), torch.stack(potentials)


def _forward_steps(x, rate, dynamics, fire, q):
    """(s[t] of all time steps, u[t] of all time steps, what the next time step begins with)."""
    gain = dynamics.coefficients(rate)[1]
    spikes, potentials = [], []
    for t, x_t in enumerate(x.unbind()):
        u = wide(x_t)
        if dynamics.decay_input:
            u = u * gain
        if q is not None:
            u = u + q
        elif dynamics.v_reset:
            u = u + dynamics.initial(rate)
        u = u.to(x.dtype)
        # in half precision the threshold itself would be rounded, and would differ from that of the backward pass
        s = wide(u) >= dynamics.v_threshold if fire is None else fire(t, wide(u))
        s = s.to(x.dtype)
        q = dynamics.carried(wide(u), wide(s.detach() if dynamics.detach_reset else s), rate)
        spikes.append(s)
        potentials.append(u)
    return spikes, potentials, q


def local_gradients(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    shape: Callable[[int, LocalGradient], Tensor],
    later: Tensor | None = None,
) -> list[Tensor]:
    """delta[t] = dL/du[t] of every time step.

    Args:
        u: membrane potentials, (T, ...).
        grad_s: dL/ds, of the shape of u.
        grad_u: the gradient that reaches u directly, of the shape of u, or None.
        rate: see `forward_pass`.
        dynamics: see `forward_pass`.
        shape: called as `shape(t, LocalGradient)` from t = T - 1 down to 0, answers with f(z; beta[t]).
        later: delta of the time step after the last one, dL/dq, where the sequence goes on; None at its end.

    Returns:
        [delta[1], ..., delta[T]].
    """
    deltas, d = [], later
    decay = dynamics.coefficients(rate)[0]
    for t in range(len(u) - 1, -1, -1):
        z, g, c = wide(u[t]) - dynamics.v_threshold, wide(grad_s[t]), None
        if d is not None:
            carry = d * decay
            if dynamics.hard_reset:
                if not dynamics.detach_reset:
                    g = g + carry * (dynamics.v_reset - wide(u[t]))
                c = carry - carry * (z >= 0).to(z.dtype)
            else:
                if not dynamics.detach_reset:
                    g = g - carry * dynamics.v_threshold
                c = carry
            if grad_u is not None:
                c = c + wide(grad_u[t])
        delta = g * shape(t, LocalGradient(z, g, c, d))
        if c is not None:
            delta = delta + c
        elif grad_u is not None:
            delta = delta + wide(grad_u[t])
        deltas.append(delta)
        d = delta
    return deltas[::-1]


def forward_chunk(x: Tensor, rate: float | Tensor, dynamics: Dynamics, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`forward_pass` for time steps in the midst of a sequence.

    Args:
        x, rate, dynamics, q: see `forward_pass`.

    Returns:
        (s, u, q): spikes, membrane potentials, and what the next time step begins with.
    """
    spikes, potentials, q = _forward_steps(x, rate, dynamics, None, q)
    return torch.stack(spikes), torch.stack(potentials), q


def forward_into(
    x: Tensor, rate: float | Tensor, dynamics: Dynamics, q: Tensor, s: Sequence[Tensor], u: Sequence[Tensor]
) -> Tensor:
    """`forward_chunk` that writes into tensors that it is given, one a time step, and answers with q."""
    spikes, potentials, q = _forward_steps(x, rate, dynamics, None, q)
    for target, value in zip((*s, *u), (*spikes, *potentials)):
        target.copy_(value)
    return q


def backward_pass(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
) -> Tensor:
    """dL/dx over all time steps, of the shape and dtype of u.

    Args:
        u, grad_s, grad_u, rate, dynamics: see `local_gradients`.
        surrogate: f(z; beta).
        beta: the widths, a tensor of one element or T.
    """
    return backward_chunk(u, grad_s, grad_u, rate, dynamics, surrogate, beta, None)[0]


def backward_chunk(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
    later: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`backward_pass` for time steps in the midst of a sequence, or at its end (`later` is None).

    Args:
        u, grad_s, grad_u, rate, dynamics, later: see `local_gradients`.
        surrogate, beta: see `backward_pass`.

    Returns:
        (dL/dx, dL/dq): the first of the shape and dtype of u, the second (N,), not in half precision.
    """
    gain = dynamics.coefficients(rate)[1]
    deltas = local_gradients(u, grad_s, grad_u, rate, dynamics, partial(_shape_at, surrogate, beta), later)
    grad_x = torch.stack([(d * gain if dynamics.decay_input else d).to(u.dtype) for d in deltas])
    return grad_x, deltas[0]


def backward_into(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
    later: Tensor,
    grad_x: Sequence[Tensor],
) -> Tensor:
    """`backward_chunk` that writes dL/dx into tensors that it is given, one a time step, and answers with dL/dq."""
    gain = dynamics.coefficients(rate)[1]
    deltas = local_gradients(u, grad_s, grad_u, rate, dynamics, partial(_shape_at, surrogate, beta), later)
    for target, delta in zip(grad_x, deltas):
        target.copy_(delta * gain if dynamics.decay_input else delta)
    return deltas[0]


def _shape_at(surrogate, beta, t, gradient):
    return surrogate(gradient.z, (beta[t] if beta.numel() > 1 else beta).to(gradient.z.dtype))


def wide(x: Tensor) -> Tensor:
    """x in float32 if it has half precision, else x itself."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
