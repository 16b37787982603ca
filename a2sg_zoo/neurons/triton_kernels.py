"""The passes of `dynamics` for CUDA devices, in Triton: one trip over memory each, for any T.

A program has a block of elements and goes through all their time steps, so v and delta stay in registers: forward reads
x and writes s and u; backward reads u and dL/ds and writes dL/dx. The arithmetic is that of `dynamics`, in the same
order and without fused multiply-adds, so spikes and gradients are the same to the bit.

The kernels take shapes that are linear in their window (ASY, TRI, BOX, UnitArea of them), each by its slope and offset.
`supports` is false for other shapes and for double precision.
"""

import os

import torch
from torch import Tensor

from a2sg_zoo.neurons.dynamics import Dynamics
from a2sg_zoo.surrogates import PiecewiseLinear, Surrogate, is_linear

try:
    import triton
    import triton.language as tl
except ImportError:  # then torch.compile, which needs it too, fails as well, and plain torch is left
    triton = None

_BLOCK = 1024


def supports(x: Tensor, surrogate: Surrogate | None = None) -> bool:
    """Whether there is a kernel for tensors like x, (T, N), and for this shape if one is given.

    On a CPU there is one if Triton's interpreter stands in for a device (TRITON_INTERPRET=1), as in tests.
    """
    if triton is None or not (x.is_cuda or os.environ.get('TRITON_INTERPRET') == '1'):
        return False
    return x.dtype in (torch.float32, torch.float16, torch.bfloat16) and (surrogate is None or is_linear(surrogate))


def forward(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> tuple[Tensor, Tensor]:
    """`dynamics.forward_pass` of (T, N), each time step contiguous."""
    s, u = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(2))
    _run_forward(x, s, u, None, None, rate, dynamics)
    return s, u


def spikes_alone(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> Tensor:
    """The s of `forward`; u is not written."""
    s = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _run_forward(x, s, None, None, None, rate, dynamics)
    return s


def forward_chunk(x: Tensor, rate: float | Tensor, dynamics: Dynamics, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`forward` from what the time steps before hand over, q, (N,), in float32, to what the next one begins with."""
    s, u = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(2))
    end = torch.empty_like(q)
    _run_forward(x, s, u, q, end, rate, dynamics)
    return s, u, end


def backward(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: PiecewiseLinear,
    beta: Tensor,
) -> Tensor:
    """`dynamics.backward_pass` of (T, N), each time step contiguous."""
    return _run_backward(u, grad_s, grad_u, rate, dynamics, surrogate, beta, None, None)


def backward_chunk(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: PiecewiseLinear,
    beta: Tensor,
    later: Tensor,
) -> tuple[Tensor, Tensor]:
    """`backward` from delta of the time step that follows, `later`, (N,), in float32: (dL/dx, delta of the first)."""
    first = torch.empty_like(later)
    return _run_backward(u, grad_s, grad_u, rate, dynamics, surrogate, beta, later, first), first


def _run_forward(x, s, u, q, end, rate, dynamics):
    if not x.numel():
        return
    _forward[_grid(x)](
        x, s, u, q, end, x.shape[1], len(x), x.stride(0), *_constants(rate, dynamics), **_options(rate, dynamics)
    )


def _run_backward(u, grad_s, grad_u, rate, dynamics, surrogate, beta, later, first):
    grad_x = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    if not u.numel():
        return grad_x
    beta = beta.reshape(-1).float().contiguous()
    slope, offset = (filled(value, beta).expand_as(beta).contiguous() for value in surrogate.coefficients(beta))
    _backward[_grid(u)](
        u,
        grad_s,
        grad_u,
        grad_x,
        later,
        first,
        beta,
        slope,
        offset,
        u.shape[1],
        len(u),
        u.stride(0),
        grad_s.stride(0),
        0 if grad_u is None else grad_u.stride(0),
        *_constants(rate, dynamics),
        EVEN=surrogate.even,
        PER_STEP=beta.numel() > 1,
        DETACHED=dynamics.detach_reset,
        **_options(rate, dynamics),
    )
    return grad_x


def _grid(x):
    return (triton.cdiv(x.shape[1], _BLOCK),)


def _constants(rate, dynamics):
    """decay, gain, shift of u[1] and of later steps, threshold, reset; those of a learned rate stay on the device."""
    decay, gain, shift = dynamics.coefficients(rate)
    first = dynamics.initial(rate)
    if isinstance(rate, Tensor):
        decay, gain, first, shift = (filled(x, rate.detach().float()) for x in (decay, gain, first, shift))
    return decay, gain, first, shift, dynamics.v_threshold, dynamics.v_reset


def filled(value: float | Tensor, like: Tensor) -> Tensor:
    """A number as a tensor, filled on the device, because a copy from the host would wait for the device."""
    return value.detach().to(like) if isinstance(value, Tensor) else torch.full_like(like, value)


def _options(rate, dynamics):
    return dict(
        DECAY_INPUT=dynamics.decay_input,
        HARD=dynamics.hard_reset,
        FROM_ZERO=dynamics.v_reset == 0,
        LEARNED=isinstance(rate, Tensor),
        BLOCK=_BLOCK,
        enable_fp_fusion=False,
    )


if triton is not None:
    # T changes no code, so that one kernel serves every number of time steps
    @triton.jit(do_not_specialize=['T'])
    def _forward(
        x,
        s,
        u,
        begin,
        end,
        N,
        T,
        stride,
        decay,
        gain,
        first,
        shift,
        v_threshold,
        v_reset,
        DECAY_INPUT: tl.constexpr,
        HARD: tl.constexpr,
        FROM_ZERO: tl.constexpr,
        LEARNED: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        if LEARNED:
            decay, gain, first, shift = tl.load(decay), tl.load(gain), tl.load(first), tl.load(shift)
        n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = n < N
        if begin is not None:
            q = tl.load(begin + n, mask=inside, other=0.0)
        elif FROM_ZERO:
            q = tl.zeros((BLOCK,), tl.float32)
        else:
            q = tl.zeros((BLOCK,), tl.float32) + first
        for t in range(T):
            at = tl.cast(t, tl.int64)
            current = tl.load(x + at * stride + n, mask=inside, other=0.0)
            potential = current.to(tl.float32)
            if DECAY_INPUT:
                potential = potential * gain
            stored = (potential + q).to(current.dtype)
            potential = stored.to(tl.float32)
            spike = (potential >= v_threshold).to(tl.float32)
            if HARD:
                v = potential - potential * spike
                if not FROM_ZERO:
                    v = v + spike * v_reset
            else:
                v = potential - spike * v_threshold
            q = v * decay
            if DECAY_INPUT and not FROM_ZERO:
                q = q + shift
            tl.store(s + at * N + n, spike.to(current.dtype), mask=inside)
            if u is not None:
                tl.store(u + at * N + n, stored, mask=inside)
        if end is not None:
            tl.store(end + n, q, mask=inside)

    @triton.jit
    def local_gradient(
        u, grad_s, grad_u, carry, n, inside, v_threshold, v_reset, HARD: tl.constexpr, DETACHED: tl.constexpr
    ):
        """z, g and c at one time step, with carry = decay delta of the next."""
        potential = tl.load(u + n, mask=inside, other=0.0).to(tl.float32)
        z = potential - v_threshold
        g = tl.load(grad_s + n, mask=inside, other=0.0).to(tl.float32)
        if HARD:
            if not DETACHED:
                g = g + carry * (v_reset - potential)
            c = carry - carry * (z >= 0).to(tl.float32)
        else:
            if not DETACHED:
                g = g - carry * v_threshold
            c = carry
        if grad_u is not None:
            c = c + tl.load(grad_u + n, mask=inside, other=0.0).to(tl.float32)
        return z, g, c

    @triton.jit
    def shape_at(z, beta, slope, offset, EVEN: tl.constexpr):
        """f(z; beta) of a shape that is linear in its window; beta, slope and offset are places in memory."""
        distance = tl.abs(z)
        f = (distance if EVEN else z) * tl.load(slope) + tl.load(offset)
        return f * (distance <= tl.load(beta)).to(tl.float32)

    @triton.jit(do_not_specialize=['T'])
    def _backward(
        u,
        grad_s,
        grad_u,
        grad_x,
        later,
        earliest,
        beta,
        slope,
        offset,
        N,
        T,
        stride_u,
        stride_s,
        stride_grad_u,
        decay,
        gain,
        first,
        shift,
        v_threshold,
        v_reset,
        DECAY_INPUT: tl.constexpr,
        HARD: tl.constexpr,
        FROM_ZERO: tl.constexpr,
        LEARNED: tl.constexpr,
        EVEN: tl.constexpr,
        PER_STEP: tl.constexpr,
        DETACHED: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        if LEARNED:
            decay, gain = tl.load(decay), tl.load(gain)
        n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = n < N
        if later is not None:
            delta = tl.load(later + n, mask=inside, other=0.0)
        else:
            delta = tl.zeros((BLOCK,), tl.float32)
        for i in range(T):
            t = T - 1 - i
            at = tl.cast(t, tl.int64)
            direct = grad_u
            if grad_u is not None:
                direct = grad_u + at * stride_grad_u
            z, g, c = local_gradient(
                u + at * stride_u,
                grad_s + at * stride_s,
                direct,
                delta * decay,
                n,
                inside,
                v_threshold,
                v_reset,
                HARD,
                DETACHED,
            )
            window = t if PER_STEP else 0
            delta = g * shape_at(z, beta + window, slope + window, offset + window, EVEN) + c
            out = delta * gain if DECAY_INPUT else delta
            tl.store(grad_x + at * N + n, out.to(grad_x.dtype.element_ty), mask=inside)
        if earliest is not None:
            tl.store(earliest + n, delta, mask=inside)
