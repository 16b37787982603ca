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

`multistep` keeps one tensor for the backward pass, u; spikes, resets and surrogate follow from it.
`multistep_reference` says the same in plain autograd: it is what the tests compare with, and it can be
differentiated twice.
"""

from dataclasses import dataclass
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
        if self.hard_reset:
            v = torch.addcmul(u, u, s, value=-1)
            return v.add_(s, alpha=self.v_reset) if self.v_reset else v
        return torch.sub(u, s, alpha=self.v_threshold)


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


class _MultiStep(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, rate, dynamics, window):
        decay, gain, shift = dynamics.coefficients(rate)
        u = x * gain if dynamics.decay_input else x.clone()
        s = torch.empty_like(u)
        start = decay * dynamics.v_reset + shift
        v = None
        for u_t, s_t in zip(u, s):
            if v is None:
                u_t.add_(start)
            else:
                _add_scaled(u_t, v, decay)
                if dynamics.decay_input and dynamics.v_reset:
                    u_t.add_(shift)
            v = dynamics.reset(u_t, torch.ge(u_t, dynamics.v_threshold, out=s_t))
        ctx.save_for_backward(u, rate if isinstance(rate, Tensor) else None)
        ctx.rate, ctx.dynamics, ctx.window = rate if not isinstance(rate, Tensor) else None, dynamics, window
        ctx.set_materialize_grads(False)
        return s, u

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_s, grad_u):
        u, rate = ctx.saved_tensors
        if grad_s is None:
            grad_s = torch.zeros_like(u)
        dynamics, rate = ctx.dynamics, ctx.rate if rate is None else rate
        decay, gain, _ = dynamics.coefficients(rate)
        delta, s = torch.empty_like(u), torch.empty_like(u[0])
        c = d = None
        for t in reversed(range(len(u))):
            z, g = u[t] - dynamics.v_threshold, grad_s[t]
            if d is not None:
                carry = d * decay
                if dynamics.hard_reset:
                    if not dynamics.detach_reset:
                        g = g + carry * (dynamics.v_reset - u[t])
                    c = carry.addcmul_(carry, torch.ge(z, 0, out=s), value=-1)
                else:
                    if not dynamics.detach_reset:
                        g = g - carry * dynamics.v_threshold
                    c = carry
                if grad_u is not None:
                    c = c + grad_u[t]
            f = ctx.window(t, len(u), LocalGradient(z, g, c, d))
            d = torch.mul(g, f, out=delta[t])
            if c is not None:
                d.add_(c)
            elif grad_u is not None:
                d.add_(grad_u[t])
        ctx.window.done(u, delta)

        grad_rate = None
        if ctx.needs_input_grad[1]:
            spikes = torch.ge(u[:-1], dynamics.v_threshold, out=torch.empty_like(u[:-1]))
            v_before = torch.cat([torch.full_like(u[:1], dynamics.v_reset), dynamics.reset(u[:-1], spikes)])
            # u[t] - v[t-1] = r (x[t] + v_reset - v[t-1]) stands in for x, which is not kept
            along = (u - v_before) / rate if dynamics.decay_input else -v_before
            grad_rate = (delta * along).sum()
        return delta.mul_(gain) if dynamics.decay_input else delta, grad_rate, None, None


def _add_scaled(out, v, scale):
    # `alpha` would pull a tensor's value to the host
    out.addcmul_(v, scale) if isinstance(scale, Tensor) else out.add_(v, alpha=scale)


class FixedWindow:
    """The surrogate under a window that stands still: what `multistep` uses when no policy is at work.

    Args:
        surrogate: the shape f(z; beta).
        beta: one number, or a tensor with one element a time step.
    """

    def __init__(self, surrogate, beta):
        self.surrogate = surrogate
        self.beta = beta

    def __call__(self, t, T, gradient):
        beta = self.beta
        return self.surrogate(gradient.z, beta[t] if isinstance(beta, Tensor) and beta.numel() > 1 else beta)

    def done(self, u, delta):
        """Called once all time steps are through, with u and dL/du, each (T, B, ...)."""


def multistep(x, rate, dynamics, window):
    """Spikes of a layer over all time steps.

    Args:
        x: input current, (T, B, ...), floating point, any strides.
        rate: the leak rate r = 1 / tau; a number, or a scalar tensor to learn it.
        dynamics: the layer's constants.
        window: called in the backward pass as `window(t, T, LocalGradient)`, from t = T - 1 down to 0, and
            answers with f(z; beta[t]); then `window.done(u, delta)` is called once. See `FixedWindow`.

    Returns:
        s: 0 or 1, of x's shape and dtype.
    """
    return _MultiStep.apply(x, rate, dynamics, window)[0]


def multistep_potentials(x, rate, dynamics, window):
    """`multistep` for losses on membrane potentials: returns (s, u), both of x's shape and both differentiable.

    What reaches u[t] directly is counted into `LocalGradient.c`; at t = T, where there is no c, a window is chosen
    without it.
    """
    return _MultiStep.apply(x, rate, dynamics, window)


class _Spike(torch.autograd.Function):

    @staticmethod
    def forward(ctx, z, surrogate, beta):
        ctx.save_for_backward(z, beta if isinstance(beta, Tensor) else None)
        ctx.surrogate, ctx.beta = surrogate, beta
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, grad_s):
        z, beta = ctx.saved_tensors
        return grad_s * ctx.surrogate(z, ctx.beta if beta is None else beta), None, None


def multistep_reference(x, rate, dynamics, surrogate, beta):
    """`multistep` with a fixed window, in plain autograd; `beta` is a number or one a time step."""
    decay, gain, shift = dynamics.coefficients(rate)
    v = torch.full_like(x[0], dynamics.v_reset)
    spikes = []
    for t, x_t in enumerate(x):
        u = decay * v + gain * x_t + shift
        beta_t = beta[t] if isinstance(beta, Tensor) and beta.numel() > 1 else beta
        s = _Spike.apply(u - dynamics.v_threshold, surrogate, beta_t)
        s_reset = s.detach() if dynamics.detach_reset else s
        if dynamics.hard_reset:
            v = u * (1 - s_reset) + dynamics.v_reset * s_reset
        else:
            v = u - dynamics.v_threshold * s_reset
        spikes.append(s)
    return torch.stack(spikes)
