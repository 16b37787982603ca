"""Membrane dynamics over all time steps as pure functions, with a hand-written backward pass.

For t = 1 .. T, with r = 1 / tau the leak rate (r = 0: no leak):

    u[t] = (1 - r) v[t-1] + r (x[t] + v_reset)    decay_input      the input is averaged
    u[t] = (1 - r) v[t-1] + x[t]                  otherwise        the input is summed; r = 0 is the IF neuron
    s[t] = 1 if u[t] >= v_threshold else 0
    v[t] = u[t] (1 - s[t]) + v_reset s[t]         hard reset
    v[t] = u[t] - v_threshold s[t]                soft reset

and v[0] = v_reset. Backwards, with g[t] = dL/ds[t], z = u - v_threshold and f the surrogate shape,

    delta[t] = dL/du[t] = g[t] f(z[t]; beta[t]) + c[t],    c[t] = (1 - r) delta[t+1] dv[t]/du[t],    c[T] = 0

where s in the reset is a constant if `detach_reset`, and otherwise brings a term that is proportional to f and
is therefore counted into g (`LocalGradient.g`).

Here is the arithmetic, a time step at a time and each element by itself, so that a compiler can make one pass over
memory of it: `fused` does. Half precision is widened to float32 and u is rounded to what is stored before it fires, so
that the backward pass, which knows u alone, sees the same spikes.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dynamics:
    """The constants of a layer of neurons."""

    v_threshold: float = 1.0
    v_reset: float = 0.0
    decay_input: bool = True
    hard_reset: bool = True
    detach_reset: bool = True

    def coefficients(self, rate):
        """(decay, gain, shift) of u[t] = decay v[t-1] + gain x[t] + shift, for the leak rate r."""
        if self.decay_input:
            return 1 - rate, rate, rate * self.v_reset
        return 1 - rate, 1.0, 0.0

    def reset(self, u, s):
        """v after the spikes s."""
        if not self.hard_reset:
            return u - s * self.v_threshold
        # products of 0 and 1: a masked fill takes many times as long on a CPU
        v = u - u * s
        return v + s * self.v_reset if self.v_reset else v


class LocalGradient(NamedTuple):
    """What determines delta[t] = g f(z; beta) + c at one time step of one layer. All of shape (B, ...).

    Attributes:
        z: u[t] - v_threshold.
        g: what the surrogate multiplies: dL/ds[t], and the reset path's share of it if that is not detached.
        c: what reaches u[t] through time, independent of beta[t]; None at t = T.
        d: delta[t+1]; None at t = T.
    """

    z: Tensor
    g: Tensor
    c: Tensor | None = None
    d: Tensor | None = None


def forward_pass(x, rate, dynamics):
    """(s, u) over all time steps, of x's shape and dtype. x: (T, ...), floating point; for rate see `multistep`."""
    decay, gain, shift = dynamics.coefficients(rate)
    spikes, potentials, v = [], [], None
    for x_t in x.unbind():
        u = wide(x_t)
        if dynamics.decay_input:
            u = u * gain
        if v is not None:
            u = u + v * decay
            if dynamics.decay_input and dynamics.v_reset:
                u = u + shift
        elif dynamics.v_reset:
            u = u + (decay * dynamics.v_reset + shift)
        u = u.to(x.dtype)
        # compared in half precision, the threshold would be rounded, and not be that of the backward pass
        s = (wide(u) >= dynamics.v_threshold).to(x.dtype)
        v = dynamics.reset(wide(u), wide(s))
        spikes.append(s)
        potentials.append(u)
    return torch.stack(spikes), torch.stack(potentials)


def local_gradients(u, grad_s, grad_u, rate, dynamics, window):
    """[delta[1], ..., delta[T]], delta[t] = dL/du[t].

    Args:
        u: membrane potentials, (T, ...).
        grad_s: dL/ds, of u's shape.
        grad_u: what reaches u directly, of u's shape, or None.
        rate, dynamics: see `multistep`.
        window: called as `window(t, LocalGradient)` from t = T - 1 down to 0, answers with f(z; beta[t]).
    """
    deltas = []
    decay = dynamics.coefficients(rate)[0]
    last = len(u) - 1
    for t in range(last, -1, -1):
        z, g, c, d = wide(u[t]) - dynamics.v_threshold, wide(grad_s[t]), None, None
        if t < last:
            d = deltas[-1]
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
        delta = g * window(t, LocalGradient(z, g, c, d))
        if c is not None:
            delta = delta + c
        elif grad_u is not None:
            delta = delta + wide(grad_u[t])
        deltas.append(delta)
    return deltas[::-1]


def backward_pass(u, grad_s, grad_u, rate, dynamics, surrogate, beta):
    """dL/dx over all time steps, of u's shape and dtype. beta: a tensor, 1 element or T; else as `local_gradients`."""
    gain = dynamics.coefficients(rate)[1]
    window = partial(_windowed, surrogate, beta)
    deltas = local_gradients(u, grad_s, grad_u, rate, dynamics, window)
    return torch.stack([(d * gain if dynamics.decay_input else d).to(u.dtype) for d in deltas])


def _windowed(surrogate, beta, t, gradient):
    return surrogate(gradient.z, (beta[t] if beta.numel() > 1 else beta).to(gradient.z.dtype))


def wide(x):
    """x in the precision that half precision is calculated in."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
