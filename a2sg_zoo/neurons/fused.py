"""The passes of `dynamics` as one kernel each, where there is a compiler; step by step where there is none.

On CUDA devices the kernels are Triton's (`triton_kernels`), for what they support. Elsewhere torch.compile makes one
loop over memory of each pass, so that a layer costs little more than moving x, s, u and their gradients once. The first
large tensor of a kind (a number of time steps, a precision, constants, a shape of surrogate) waits some seconds for
that. Tensors below `SMALL` elements do not ask for it: there the waiting is never made up for. Nor do those of more
than `MAX_STEPS` time steps: a compiler unrolls the loop over time and takes about a second for each, while a layer that
runs step by step takes but three times as long.

`TORCH_COMPILE_DISABLE=1` in the environment keeps all step by step; results are the same, to the bit for shapes without
transcendental functions.
"""

import logging
import types
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from torch import Tensor

from a2sg_zoo.neurons import dynamics as passes
from a2sg_zoo.neurons import triton_kernels as kernels

SMALL = 2**17
MAX_STEPS = 32

# whose errors may come late, too: what ran may be compiled again, for a layout that is new
_COMPILERS = 'torch._dynamo', 'torch._inductor', 'triton'

_compiled = {}


def forward_pass(x, rate, dynamics):
    """`dynamics.forward_pass`."""
    if torch.compiler.is_compiling():
        return passes.forward_pass(x, rate, dynamics)
    key = x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)
    return _run(passes.forward_pass, kernels.forward if kernels.supports(x) else None, key, x, rate, dynamics)


def spikes_alone(x, rate, dynamics):
    """The s of `dynamics.forward_pass`: nothing is kept for a backward pass."""
    if torch.compiler.is_compiling():
        return _spikes(x, rate, dynamics)
    key = x.device.type, x.dtype, len(x), dynamics, isinstance(rate, Tensor)
    return _run(_spikes, kernels.spikes_alone if kernels.supports(x) else None, key, x, rate, dynamics)


def backward_pass(u, grad_s, grad_u, rate, dynamics, surrogate, beta):
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
        passes.backward_pass,
        kernels.backward if kernels.supports(u, surrogate) else None,
        key,
        u,
        grad_s,
        grad_u,
        rate,
        dynamics,
        surrogate,
        beta,
    )


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
        result, run = function(first, *args), function  # what is not the compiler's doing is raised again here
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
    # a code object of its own, for the number of variants of one that torch compiles is limited
    copy = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    # without the first option a rounding to half precision that is widened again would be left out; the second spares
    # a pool of processes that kernels as small as these gain nothing from
    return torch.compile(
        copy, fullgraph=True, dynamic=True, options={'emulate_precision_casts': True, 'compile_threads': 1}
    )


@contextmanager
def step_by_step():
    """Context in which nothing is compiled; for modes that look at every operation, too, for whom it would be anew."""
    import torch._dynamo.config

    with torch._dynamo.config.patch(disable=True):
        yield


def _switched_off():
    import torch._dynamo.config

    return torch._dynamo.config.disable
