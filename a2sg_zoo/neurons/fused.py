"""The passes of `dynamics` as one kernel each where a compiler is available, and step by step elsewhere.

On CUDA devices the kernels are those of Triton (`triton_kernels`), for the cases that they support. Elsewhere
torch.compile makes one loop over memory of each pass, so a layer costs little more than moving x, s, u and their
gradients once. Compiling takes some seconds for the first large tensor of a kind: a number of time steps, a precision,
constants, a surrogate shape. Tensors below `SMALL` elements run step by step, because they would never make up for the
time to compile.

A compiler unrolls the loop over time and takes about half a second a step. More than `MAX_STEPS` time steps therefore
go through one compiled kernel of `CHUNK` steps, again and again: q = (1 - r) v + shift is handed forward from chunk to
chunk, and delta backward (see `dynamics`). A rest of fewer steps runs step by step.

`TORCH_COMPILE_DISABLE=1` in the environment, or `step_by_step`, keeps everything step by step. The results are the
same, to the bit for shapes without transcendental functions.
"""

import logging
import os
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.dlpack import from_dlpack, to_dlpack

from a2sg_zoo.neurons import dynamics as passes
from a2sg_zoo.neurons.dynamics import Dynamics

SMALL = 2**17
MAX_STEPS = 31  # two chunks are faster than one kernel of 32 steps, which reads and writes too many places at once
CHUNK = 16
# elements of a time step from which kernels write into the tensors of the whole sequence: copies leave the cache
WIDE = 2**16

# Errors of these modules are those of a compiler. A compiled function may be recompiled later for a new memory layout,
# so they can appear after the first call.
_COMPILERS = 'torch._dynamo', 'torch._inductor', 'triton'

_compiled = {}
_uncompiled = 0  # depth of `step_by_step`


def forward_pass(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> tuple[Tensor, Tensor]:
    """`dynamics.forward_pass`."""
    if torch.compiler.is_compiling():
        return passes.forward_pass(x, rate, dynamics)
    kernel = _kernel('forward', x)
    if kernel is None and _in_chunks(x):
        return forward_chunk(x, rate, dynamics, initial(x, rate, dynamics))[:2]
    return _run(passes.forward_pass, kernel, _key(x, dynamics, rate), x, rate, dynamics)


def spikes_alone(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> Tensor:
    """The s of `dynamics.forward_pass`; nothing is kept for a backward pass."""
    if torch.compiler.is_compiling():
        return _spikes(x, rate, dynamics)
    kernel = _kernel('spikes_alone', x)
    if kernel is None and _in_chunks(x):
        return forward_chunk(x, rate, dynamics, initial(x, rate, dynamics), keep_potentials=False)[0]
    return _run(_spikes, kernel, _key(x, dynamics, rate), x, rate, dynamics)


def backward_pass(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
) -> Tensor:
    """`dynamics.backward_pass`."""
    args = u, grad_s, grad_u, rate, dynamics, surrogate, beta
    if torch.compiler.is_compiling():
        return passes.backward_pass(*args)
    kernel = _kernel('backward', u, surrogate)
    if kernel is None and _in_chunks(u):
        return backward_chunk(*args, torch.zeros_like(u[0], dtype=passes.wide(u[:0]).dtype))[0]
    key = *_key(u, dynamics, rate), grad_u is None, type(surrogate), beta.numel()
    return _run(passes.backward_pass, kernel, key, *args)


def forward_chunk(
    x: Tensor, rate: float | Tensor, dynamics: Dynamics, q: Tensor, T: int = 0, keep_potentials: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """`dynamics.forward_pass` from a state to the state after it, for any number of time steps.

    Args:
        x: input current, (T, N), each time step contiguous.
        rate, dynamics: see `dynamics.forward_pass`.
        q: what the time steps before hand over, (N,); `initial` at the start of a sequence.
        T: number of time steps of the sequence that x is a part of, as far as it is known. Where the sequence is large,
            compiling pays for its parts, too.
        keep_potentials: whether u is wanted; without it, u may be anything.

    Returns:
        (s, u, q), the last one for the time step that follows.
    """
    kernel = _kernel('forward_chunk', x)
    if kernel is not None or not _in_chunks(x, T):
        key = _key(x, dynamics, rate)
        return _run(passes.forward_chunk, kernel, key, x, rate, dynamics, q, large=_large(x, T))
    s = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    u = torch.empty_like(s) if keep_potentials else s
    for at in _chunks(x):
        args = x[at], rate, dynamics, q
        key = _key(x[at], dynamics, rate)
        if x.shape[1] >= WIDE and keep_potentials:
            q = _run_chunk(passes.forward_into, key, *args, s[at].unbind(), u[at].unbind())
            continue
        s_part, u_part, q = _run_chunk(passes.forward_chunk, key, *args)
        if keep_potentials:
            u[at] = u_part
        s[at] = s_part
    return s, u, q


def backward_chunk(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
    later: Tensor,
    T: int = 0,
) -> tuple[Tensor, Tensor]:
    """`dynamics.backward_pass` from the gradient of the state after these time steps to that of the state before.

    Args:
        u, grad_s, grad_u: (T, N), each time step contiguous; any number of time steps.
        rate, dynamics, surrogate, beta: see `dynamics.backward_pass`.
        later: dL/dq of the state after them, (N,), not in half precision.
        T: see `forward_chunk`.

    Returns:
        (dL/dx, dL/dq of the state before).
    """
    kernel = _kernel('backward_chunk', u, surrogate)
    if kernel is not None or not _in_chunks(u, T):
        key = *_key(u, dynamics, rate), grad_u is None, type(surrogate), beta.numel()
        args = u, grad_s, grad_u, rate, dynamics, surrogate, beta, later
        return _run(passes.backward_chunk, kernel, key, *args, large=_large(u, T))
    grad_x = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    for at in reversed(_chunks(u)):
        direct = None if grad_u is None else grad_u[at]
        widths = beta[at].clone() if beta.numel() > 1 else beta
        key = *_key(u[at], dynamics, rate), grad_u is None, type(surrogate), widths.numel()
        args = u[at], grad_s[at], direct, rate, dynamics, surrogate, widths, later
        if u.shape[1] >= WIDE:
            later = _run_chunk(passes.backward_into, key, *args, grad_x[at].unbind())
        else:
            grad_x[at], later = _run_chunk(passes.backward_chunk, key, *args)
    return grad_x, later


def initial(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> Tensor:
    """q[0] for x, (T, N): what the first time step begins with, (N,), in float32 at least."""
    value, dtype = dynamics.initial(rate), passes.wide(x[:0]).dtype
    if isinstance(value, Tensor):  # filled on the device, because a copy to the host would wait for it
        return value.detach().to(dtype).expand(x.shape[1]).contiguous()
    return torch.full((x.shape[1],), value, dtype=dtype, device=x.device)


def _key(x, dynamics, rate):
    return x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)


def _large(x, T=0):
    # a few time steps at a call take no less time in a compiled kernel than one after the other
    return x.numel() >= SMALL or len(x) >= CHUNK // 2 and x.numel() // len(x) * T >= SMALL


def _in_chunks(x, T=0):
    return len(x) > MAX_STEPS and _large(x, T) and not _switched_off()


def _chunks(x):
    """Slices of `CHUNK` time steps; the last one may be shorter."""
    return [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]


def _run_chunk(function, key, first, *args):
    """Some time steps of a long sequence. A rest that is shorter than `CHUNK` runs step by step."""
    if len(first) < CHUNK:
        return function(first, *args)
    return _run(function, None, key, first, *args, large=True)


def _packed(*args):
    """The arguments with tensors that do not begin within the memory of others: those are compiled once more."""
    return [
        _packed(*x)
        if isinstance(x, tuple)
        else from_dlpack(to_dlpack(x))
        if isinstance(x, Tensor) and x.dim() and not x.requires_grad
        else x
        for x in args
    ]


def runs_on_triton(x: Tensor, surrogate: Any = None) -> bool:
    """Whether Triton's kernels serve tensors like x, (T, N), and a surrogate if one is given.

    Triton is imported where it can run at all.
    """
    if _switched_off() or not (x.is_cuda or os.environ.get('TRITON_INTERPRET') == '1'):
        return False
    from a2sg_zoo.neurons import triton_kernels

    return triton_kernels.supports(x, surrogate)


def _kernel(name, x, surrogate=None):
    """The Triton kernel of a pass, None where there is none."""
    if not runs_on_triton(x, surrogate):
        return None
    from a2sg_zoo.neurons import triton_kernels

    return getattr(triton_kernels, name)


def _spikes(x, rate, dynamics):
    return passes.forward_pass(x, rate, dynamics)[0]


def _run(function, kernel, key, first, *args, large=None):
    part, large = large is not None, _large(first) if large is None else large
    if (kernel is None and not large) or _switched_off():
        return function(first, *args)
    if part and kernel is None:
        first, *args = _packed(first, *args)
    key = function, kernel, *key
    known = _compiled.get(key)
    run = known or kernel or _compile(function)
    try:
        result = run(first, *args)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # compilers raise many kinds
        if known and not type(error).__module__.startswith(_COMPILERS):
            raise
        result, run = function(first, *args), function  # an error that no compiler caused is raised again here
        say_uncompiled(f'{function.__name__.strip("_")} of a spiking layer', error)
    _compiled[key] = run
    return result


def say_uncompiled(what: str, error: Exception) -> None:
    """Warn that something runs step by step, because compiling it raised this error."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    print_log(
        f'{what} could not be compiled and runs step by step, several times as slow: {reason}',
        'current',
        logging.WARNING,
    )


def _compile(function):
    # a new code object, because torch limits how many variants of one code object it compiles
    copy = types.FunctionType(
        function.__code__.replace(), function.__globals__, function.__name__, function.__defaults__
    )
    # Without the first option a rounding to half precision that is widened again would be left out. The second avoids
    # a pool of processes, from which kernels as small as these gain nothing.
    return torch.compile(
        copy, fullgraph=True, dynamic=True, options={'emulate_precision_casts': True, 'compile_threads': 1}
    )


@contextmanager
def step_by_step() -> Iterator[None]:
    """Context in which no pass is compiled, for modes that look at every operation."""
    global _uncompiled
    _uncompiled += 1
    try:
        yield
    finally:
        _uncompiled -= 1


def _switched_off():
    return _uncompiled > 0 or os.environ.get('TORCH_COMPILE_DISABLE') == '1'
