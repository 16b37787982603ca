"""A layer of neurons over all time steps as a differentiable function.

`multistep` has a hand-written backward pass. It keeps one tensor for it, u; spikes, resets and surrogate follow from u.
`multistep_reference` computes the same in plain autograd. It can be differentiated twice, and the tests compare
`multistep` with it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.neurons import activation_memory, fused
from a2sg_zoo.neurons.controllers import Controller, FixedWidths
from a2sg_zoo.neurons.dynamics import Dynamics, forward_pass, wide
from a2sg_zoo.neurons.layer_gradients import LayerGradients


class _MultiStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rate, dynamics, controller):
        ctx.layout = _layout(x)
        s, u = fused.forward_pass(_flat(x, ctx.layout), rate, dynamics)
        ctx.save_for_backward(u, rate if isinstance(rate, Tensor) else None)
        ctx.rate, ctx.dynamics, ctx.controller = rate if not isinstance(rate, Tensor) else None, dynamics, controller
        ctx.set_materialize_grads(False)
        return _shaped(s, ctx.layout), _shaped(u, ctx.layout)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_s, grad_u):
        u, rate = ctx.saved_tensors
        dynamics, controller, rate = ctx.dynamics, ctx.controller, ctx.rate if rate is None else rate
        grad_s = torch.zeros_like(u) if grad_s is None else _flat(grad_s, ctx.layout)
        grad_u = None if grad_u is None else _flat(grad_u, ctx.layout)
        beta = controller.choose(LayerGradients(u, grad_s, grad_u, rate, dynamics))
        grad_x = fused.backward_pass(u, grad_s, grad_u, rate, dynamics, controller.surrogate, beta)
        gain = dynamics.coefficients(rate)[1]
        if controller.finish is not None:
            controller.finish(u, grad_x / gain)

        grad_rate = _rate_gradient(u, grad_x, rate, dynamics) if ctx.needs_input_grad[1] else None
        return _shaped(grad_x, ctx.layout), grad_rate, None, None


class _Chunk(torch.autograd.Function):
    """Some time steps of a sequence: `_MultiStep` from the state before them to the state after them."""

    @staticmethod
    def forward(ctx, x, rate, q, dynamics, controller, start):
        ctx.layout = _layout(x)
        x = _flat(x, ctx.layout)
        begin = fused.initial(x, rate, dynamics) if q is None else _flat_step(q, ctx.layout)
        s, u, end = fused.forward_chunk(x, rate, dynamics, begin, start + len(x))
        learned = isinstance(rate, Tensor)
        ctx.save_for_backward(u, rate if learned else None, begin if learned and q is not None else None)
        ctx.rate, ctx.dynamics, ctx.controller, ctx.start = None if learned else rate, dynamics, controller, start
        ctx.set_materialize_grads(False)
        return _shaped(s, ctx.layout), _shaped(u, ctx.layout), _shaped(end[None], _step(ctx.layout))[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_s, grad_u, grad_end):
        u, rate, begin = ctx.saved_tensors
        layout, dynamics, controller = ctx.layout, ctx.dynamics, ctx.controller
        rate = ctx.rate if rate is None else rate
        grad_s = torch.zeros_like(u) if grad_s is None else _flat(grad_s, layout)
        grad_u = None if grad_u is None else _flat(grad_u, layout)
        later = None if grad_end is None else _flat_step(grad_end, layout)
        nothing = torch.zeros_like(u[0], dtype=wide(u[:0]).dtype) if later is None else later
        if ctx.start + len(u) < controller.T:
            later = nothing  # the loss does not depend on the time steps that follow
        beta = controller.choose(LayerGradients(u, grad_s, grad_u, rate, dynamics, later, ctx.start))
        following = nothing if later is None else later
        grad_x, grad_q = fused.backward_chunk(
            u, grad_s, grad_u, rate, dynamics, controller.surrogate, beta, following, controller.T
        )
        if controller.finish is not None:
            controller.finish(u, grad_x / dynamics.coefficients(rate)[1])
        grad_rate = _rate_gradient(u, grad_x, rate, dynamics, begin, later) if ctx.needs_input_grad[1] else None
        grad_q = _shaped(grad_q[None], _step(layout))[0] if ctx.needs_input_grad[2] else None
        return _shaped(grad_x, layout), grad_rate, grad_q, None, None, None


def _rate_gradient(u, grad_x, rate, dynamics, begin=None, later=None):
    """dL/dr. Half precision is widened: a sum over a layer needs more than its range (float16) or bits (bfloat16)."""
    total, v = 0.0, dynamics.v_reset
    for t, (u_t, grad_t) in enumerate(zip(u.unbind(), grad_x.unbind())):
        u_t = wide(u_t)
        if t == 0 and begin is not None:
            # the gradient through q belongs to the chunk that made it; what is left of u[t] is r x[t]
            along = (u_t - begin) / rate if dynamics.decay_input else torch.zeros_like(u_t)
        else:
            # u[t] - v[t-1] = r (x[t] + v_reset - v[t-1]) stands in for x, which is not kept
            along = (u_t - v) / rate if dynamics.decay_input else -v
        total = total + (wide(grad_t) * along).sum()
        v = dynamics.reset(u_t, (u_t >= dynamics.v_threshold).to(u_t.dtype))
    total = total / dynamics.coefficients(rate)[1]
    if later is not None:
        # q = (1 - r) v + r v_reset, the last term under decay_input alone
        total = total + (later * ((dynamics.v_reset if dynamics.decay_input else 0.0) - v)).sum()
    return total


def multistep(x: Tensor, rate: float | Tensor, dynamics: Dynamics, controller: Controller) -> Tensor:
    """Spikes of a layer over all time steps.

    Args:
        x: input current, (T, B, ...), floating point, any strides.
        rate: the leak rate r = 1 / tau; a number, or a scalar tensor to learn it.
        dynamics: the constants of the layer.
        controller: decides the widths in the backward pass.

    Returns:
        s: 0 or 1, of the shape and dtype of x.
    """
    if torch.is_grad_enabled() and (x.requires_grad or isinstance(rate, Tensor) and rate.requires_grad):
        return _applied(x, rate, dynamics, controller)[0]
    layout = _layout(x)
    return _shaped(fused.spikes_alone(_flat(x, layout), rate, dynamics), layout)


def multistep_potentials(
    x: Tensor, rate: float | Tensor, dynamics: Dynamics, controller: Controller
) -> tuple[Tensor, Tensor]:
    """`multistep` for losses on membrane potentials: returns (s, u), both of the shape of x and both differentiable.

    The gradient that reaches u[t] directly counts into `LocalGradient.c`. At t = T, where there is no c, the width is
    chosen without it.
    """
    return _applied(x, rate, dynamics, controller)


@leave_uncompiled
def multistep_chunk(
    x: Tensor,
    rate: float | Tensor,
    dynamics: Dynamics,
    controller: Controller | None,
    q: Tensor | None = None,
    start: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """`multistep` for some time steps of a sequence; differentiable in x, the rate and q.

    Args:
        x, rate, dynamics: see `multistep`.
        controller: decides the widths in the backward pass; one for all chunks. None if no gradient is recorded.
        q: what the time steps before hand over, (B, ...), in float32 at least; None at the start of a sequence.
        start: index in the sequence of the first time step, from 0.

    Returns:
        (s, u, q): spikes and membrane potentials, of the shape of x, and what the next time step begins with, (B, ...).
    """
    s, u, end = _Chunk.apply(x, rate, q, dynamics, controller, start)
    if torch.is_grad_enabled():
        activation_memory.remember(s, u, dynamics.v_threshold)
    return s, u, end


def _applied(x, rate, dynamics, controller):
    if not torch.compiler.is_compiling():
        s, u = _MultiStep.apply(x, rate, dynamics, controller)
        activation_memory.remember(s, u, dynamics.v_threshold)
        return s, u
    # a search depends on data that a compiler does not know; fixed widths become part of the compiled network
    apply = _MultiStep.apply if isinstance(controller, FixedWidths) else _apply_uncompiled
    return apply(x, rate, dynamics, controller)


@leave_uncompiled
def _apply_uncompiled(x, rate, dynamics, controller):
    return _MultiStep.apply(x, rate, dynamics, controller)


def _layout(x):
    """(shape of x, strides of one time step): as x has them if its memory has neither gaps nor overlaps, else packed.

    None within a network that is compiled as a whole: its compiler decides how memory is laid out.
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
    size = math.prod(shape[1:])
    if any(a != b and n > 1 for a, b, n in zip(x.stride()[1:], strides, shape[1:])):
        x = torch.empty_strided(shape, (size, *strides), dtype=x.dtype, device=x.device).copy_(x)
    return x.as_strided((shape[0], size), (x.stride(0), 1))


def _step(layout):
    """The layout of one time step, with a time axis of length 1."""
    return (1, *layout[0][1:]), layout[1]


def _flat_step(x, layout):
    """(N,): one time step in the order of memory that the layout gives."""
    return _flat(x[None], _step(layout))[0]


def _shaped(x, layout):
    """x of `_flat` in its own shape and the same memory; no view for autograd, so it may be changed in place."""
    if layout is None:
        return x
    shape, strides = layout
    return x.as_strided(shape, (math.prod(shape[1:]), *strides)).detach()


class Spike(torch.autograd.Function):
    """s = [z >= 0] with ds/dz = f(z; beta), which can be differentiated twice: `Spike.apply(z, surrogate, beta)`."""

    @staticmethod
    def forward(ctx, z, surrogate, beta):
        ctx.save_for_backward(z, beta if isinstance(beta, Tensor) else None)
        ctx.surrogate, ctx.beta = surrogate, beta
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, grad_s):
        z, beta = ctx.saved_tensors
        return grad_s * ctx.surrogate(z, ctx.beta if beta is None else beta), None, None


def multistep_reference(
    x: Tensor,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: float | Tensor,
    potentials: bool = False,
    q: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """`multistep` with fixed widths, in plain autograd.

    Where no gradient is recorded, it consists of plain operations that a tracer can follow.

    Args:
        x, rate, dynamics: see `multistep`.
        surrogate: f(z; beta).
        beta: a number, or a tensor of one element or T.
        potentials: whether to return the membrane potentials too.
        q: what the time steps before x hand over, see `multistep_chunk`.

    Returns:
        s, or (s, u); of the shape and dtype of x.
    """

    def fire(t, u):
        beta_t = beta[t] if isinstance(beta, Tensor) and beta.numel() > 1 else beta
        return Spike.apply(u - dynamics.v_threshold, surrogate, beta_t)

    s, u = forward_pass(x, rate, dynamics, fire if torch.is_grad_enabled() else None, q)
    return (s, u) if potentials else s
