"""A layer of neurons over all time steps as a differentiable function, with a hand-written backward pass.

`multistep` keeps one tensor for the backward pass, u; spikes, resets and surrogate follow from it.
`multistep_reference` says the same in plain autograd: it is what the tests compare with, and it can be differentiated
twice.
"""

import torch
from torch import Tensor

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.neurons import fused, saved
from a2sg_zoo.neurons.dynamics import local_gradients, wide


class _MultiStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rate, dynamics, window):
        ctx.layout = _layout(x)
        s, u = fused.forward_pass(_flat(x, ctx.layout), rate, dynamics)
        ctx.save_for_backward(u, rate if isinstance(rate, Tensor) else None)
        ctx.rate, ctx.dynamics, ctx.window = rate if not isinstance(rate, Tensor) else None, dynamics, window
        ctx.set_materialize_grads(False)
        return _shaped(s, ctx.layout), _shaped(u, ctx.layout)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_s, grad_u):
        u, rate = ctx.saved_tensors
        dynamics, window, rate = ctx.dynamics, ctx.window, ctx.rate if rate is None else rate
        grad_s = torch.zeros_like(u) if grad_s is None else _flat(grad_s, ctx.layout)
        grad_u = None if grad_u is None else _flat(grad_u, ctx.layout)
        beta = window.choose(LayerGradients(u, grad_s, grad_u, rate, dynamics))
        grad_x = fused.backward_pass(u, grad_s, grad_u, rate, dynamics, window.surrogate, beta)
        gain = dynamics.coefficients(rate)[1]
        if window.done is not None:
            window.done(u, grad_x / gain)

        grad_rate = _rate_gradient(u, grad_x, rate, dynamics) if ctx.needs_input_grad[1] else None
        return _shaped(grad_x, ctx.layout), grad_rate, None, None


def _rate_gradient(u, grad_x, rate, dynamics):
    """dL/dr. Half precision is widened: a sum over a layer needs more than its range (float16) or bits (bfloat16)."""
    total, v = 0.0, dynamics.v_reset
    for u_t, grad_t in zip(u.unbind(), grad_x.unbind()):
        u_t = wide(u_t)
        # u[t] - v[t-1] = r (x[t] + v_reset - v[t-1]) stands in for x, which is not kept
        along = (u_t - v) / rate if dynamics.decay_input else -v
        total = total + (wide(grad_t) * along).sum()
        v = dynamics.reset(u_t, (u_t >= dynamics.v_threshold).to(u_t.dtype))
    return total / dynamics.coefficients(rate)[1]


class LayerGradients:
    """What a layer's backward pass has to work with; a policy chooses its windows by it.

    Attributes:
        u: membrane potentials, (T, N), for the N elements of a time step (batch and features, in the order of memory).
        grad_s: dL/ds, (T, N).
        grad_u: what reaches u directly, (T, N), or None.
        rate, dynamics: see `multistep`.
    """

    def __init__(self, u, grad_s, grad_u, rate, dynamics):
        self.u, self.grad_s, self.grad_u, self.rate, self.dynamics = u, grad_s, grad_u, rate, dynamics

    def sampled(self, runs, length):
        """The same for some of the N elements: runs of `length` neighbours in memory. runs: their indices, (n,)."""
        end = self.u.shape[1] // length * length
        chosen = (
            None if x is None else x[:, :end].unflatten(1, (-1, length))[:, runs].flatten(1)
            for x in (self.u, self.grad_s, self.grad_u)
        )
        return LayerGradients(*chosen, self.rate, self.dynamics)

    def scan(self, window):
        """Goes from t = T - 1 down to 0 with `window(t, LocalGradient)`, which answers with f(z; beta[t])."""
        local_gradients(self.u, self.grad_s, self.grad_u, self.rate, self.dynamics, window)


class FixedWindow:
    """The surrogate under a window that stands still: what a neuron uses when no policy is at work.

    Args:
        surrogate: the shape f(z; beta).
        beta: one number, or a tensor with one element or one a time step.

    Attributes:
        done: called once all time steps are through, with u and dL/du, each (T, N); None if nobody wants to know.
    """

    done = None

    def __init__(self, surrogate, beta):
        self.surrogate = surrogate
        self.beta = beta

    def choose(self, gradients):
        """beta, as a tensor of 1 element or T; `gradients` is `LayerGradients`."""
        return self.beta if isinstance(self.beta, Tensor) else gradients.u.new_full((), self.beta)


def multistep(x, rate, dynamics, window):
    """Spikes of a layer over all time steps.

    Args:
        x: input current, (T, B, ...), floating point, any strides.
        rate: the leak rate r = 1 / tau; a number, or a scalar tensor to learn it.
        dynamics: the layer's constants.
        window: has a `surrogate`, a `choose` that the backward pass calls once, and a `done`. See `FixedWindow`.

    Returns:
        s: 0 or 1, of x's shape and dtype.
    """
    if torch.is_grad_enabled() and (x.requires_grad or isinstance(rate, Tensor) and rate.requires_grad):
        return _applied(x, rate, dynamics, window)[0]
    layout = _layout(x)
    return _shaped(fused.spikes_alone(_flat(x, layout), rate, dynamics), layout)


def multistep_potentials(x, rate, dynamics, window):
    """`multistep` for losses on membrane potentials: returns (s, u), both of x's shape and both differentiable.

    What reaches u[t] directly is counted into `LocalGradient.c`; at t = T, where there is no c, a window is chosen
    without it.
    """
    return _applied(x, rate, dynamics, window)


def _applied(x, rate, dynamics, window):
    if not torch.compiler.is_compiling():
        s, u = _MultiStep.apply(x, rate, dynamics, window)
        saved.remember(s, u, dynamics.v_threshold)
        return s, u
    # a search looks at what a compiler cannot know; a window that stands still becomes part of the compiled network
    return (_MultiStep.apply if isinstance(window, FixedWindow) else _apart)(x, rate, dynamics, window)


@leave_uncompiled
def _apart(x, rate, dynamics, window):
    return _MultiStep.apply(x, rate, dynamics, window)


def _layout(x):
    """(x's shape, strides of one time step): as x has them if its memory has neither gaps nor overlaps, else packed.

    None within a network that is compiled as a whole, whose compiler lays memory out as it likes.
    """
    if torch.compiler.is_compiling():
        return None
    step = x[0] if len(x) else x.new_empty(x.shape[1:])
    packed = 1
    for stride, size in sorted((stride, size) for stride, size in zip(step.stride(), step.shape) if size > 1):
        if stride != packed:
            return x.shape, step.contiguous().stride()
        packed *= size
    return x.shape, step.stride()


def _flat(x, layout):
    """(T, N): x in the order of memory that the layout gives, a view where x has that order; x itself without one."""
    if layout is None:
        return x
    shape, strides = layout
    size = shape[1:].numel()
    if any(a != b and n > 1 for a, b, n in zip(x.stride()[1:], strides, shape[1:])):
        x = torch.empty_strided(shape, (size, *strides), dtype=x.dtype, device=x.device).copy_(x)
    return x.as_strided((shape[0], size), (x.stride(0), 1))


def _shaped(x, layout):
    if layout is None:
        return x
    shape, strides = layout
    return x.as_strided(shape, (shape[1:].numel(), *strides))


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
