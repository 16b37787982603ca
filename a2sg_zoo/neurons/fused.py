"""The passes of `dynamics` as one kernel each where a compiler is available, and step by step elsewhere.

On CUDA devices the kernels are those of Triton (`triton_kernels`), for the cases that they support. Elsewhere
torch.compile makes one loop over memory of each pass, so a layer costs little more than moving x, s, u and their
gradients once. Compiling takes some seconds for the first large tensor of a kind: a number of time steps, a precision,
constants, a surrogate shape. Two kinds of tensors run step by step:

- tensors below `SMALL` elements, which would never make up for the time to compile;
- tensors of more than `MAX_STEPS` time steps: a compiler unrolls the loop over time and takes about a second a step,
  while such a layer takes only about three times as long step by step.

`TORCH_COMPILE_DISABLE=1` in the environment, or `step_by_step`, keeps everything step by step. The results are the
same, to the bit for shapes without transcendental functions.
"""

import logging
import os
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from torch import Tensor

from a2sg_zoo.neurons import dynamics as passes
from a2sg_zoo.neurons.dynamics import Dynamics

SMALL = 2**17
MAX_STEPS = 32

# Errors of these modules are those of a compiler. A compiled function may be recompiled later for a new memory layout,
# so they can appear after the first call.
_COMPILERS = 'torch._dynamo', 'torch._inductor', 'triton'

_compiled = {}
_uncompiled = 0  # depth of `step_by_step`


def forward_pass(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> tuple[Tensor, Tensor]:
    """`dynamics.forward_pass`."""
    if torch.compiler.is_compiling():
        return passes.forward_pass(x, rate, dynamics)
    key = x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)
    return _run(passes.forward_pass, _kernel('forward', x), key, x, rate, dynamics)


def spikes_alone(x: Tensor, rate: float | Tensor, dynamics: Dynamics) -> Tensor:
    """The s of `dynamics.forward_pass`; nothing is kept for a backward pass."""
    if torch.compiler.is_compiling():
        return _spikes(x, rate, dynamics)
    key = x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)
    return _run(_spikes, _kernel('spikes_alone', x), key, x, rate, dynamics)


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
    if torch.compiler.is_compiling():
        return passes.backward_pass(u, grad_s, grad_u, rate, dynamics, surrogate, beta)
    key = (
        u.device.type,
        u.dtype,
        len(u),
        dynamics,
        isinstance(rate, Tensor),
        grad_u is None,
        type(surrogate),
        beta.numel(),
    )
    return _run(
        passes.backward_pass, _kernel('backward', u, surrogate), key, u, grad_s, grad_u, rate, dynamics, surrogate, beta
    )


def forward_chunk(x: Tensor, rate: float | Tensor, dynamics: Dynamics, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`dynamics.forward_chunk`."""
    key = x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)
    return _run(passes.forward_chunk, None, key, x, rate, dynamics, q)


def backward_chunk(
    u: Tensor,
    grad_s: Tensor,
    grad_u: Tensor | None,
    rate: float | Tensor,
    dynamics: Dynamics,
    surrogate: Callable[[Tensor, Tensor], Tensor],
    beta: Tensor,
    later: Tensor,
) -> tuple[Tensor, Tensor]:
    """`dynamics.backward_chunk`."""
    key = (
        u.device.type,
        u.dtype,
        len(u),
        dynamics,
        isinstance(rate, Tensor),
        grad_u is None,
        type(surrogate),
        beta.numel(),
    )
    return _run(passes.backward_chunk, None, key, u, grad_s, grad_u, rate, dynamics, surrogate, beta, later)


def _kernel(name, x, surrogate=None):
    """The Triton kernel of a pass, None where there is none; Triton is imported where it can run at all."""
    if not (x.is_cuda or os.environ.get('TRITON_INTERPRET') == '1'):
        return None
    from a2sg_zoo.neurons import triton_kernels

    return getattr(triton_kernels, name) if triton_kernels.supports(x, surrogate) else None


def _spikes(x, rate, dynamics):
    return passes.forward_pass(x, rate, dynamics)[0]


def _run(function, kernel, key, first, *args):
    if (kernel is None and (first.numel() < SMALL or len(first) > MAX_STEPS)) or _switched_off():
        return function(first, *args)
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
        lines = str(error).strip().splitlines()
        print_log(
            f'{function.__name__.strip("_")} of a spiking layer could not be compiled and runs step by step, '
            f'several times as slow: {lines[0] if lines else type(error).__name__}',
            'current',
            logging.WARNING,
        )
    _compiled[key] = run
    return result


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
