"""The Triton kernels against the step-by-step reference on one device, bit by bit."""

import itertools
import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.adaptation import A2SG, STASG, TASG, attach
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import LIF, PLIF, LayerGradients, fused, multistep_reference
from a2sg_zoo.neurons import dynamics as reference
from a2sg_zoo.neurons.dynamics import Dynamics
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan
from a2sg_zoo.surrogates.piecewise_linear import UnitArea

SHAPES = ASY(0.7, 0.6), TRI(0.9), TRI(1.1, normalize='peak'), BOX(1.2), UnitArea(ASY(0.8))


def compare_kernels(device: torch.device) -> int:
    """Compare all kernels with the reference on a device, for all kinds of neurons.

    Each kind has a number of time steps, a dtype, a rate, a shape and a size that are drawn for it.

    Args:
        device: a CUDA device, or any device in Triton's interpreter.

    Returns:
        Number of the kinds that were compared.

    Raises:
        A2SGError: two results differ; the message names the kind.
    """
    from a2sg_zoo.neurons import triton_kernels as kernels

    torch.manual_seed(0)
    fired = number = 0
    for number, (dynamics, dtype, T, N, rate, shape, per_step, with_grad_u, repeated) in enumerate(_kinds(), 1):
        name = f'kind {number}, {dynamics}, {dtype}, T = {T}, N = {N}, rate {rate}, {shape}'
        rate = rate.to(device) if isinstance(rate, Tensor) else rate
        x, grad_s, grad_u = ((1.5 * torch.randn(T, N, device=device)).to(dtype) for _ in range(3))
        if repeated:
            x, grad_s = x[:1].expand(T, N), grad_s[:1].expand(T, N)
        beta = (torch.rand(T if per_step else 1, 2, device=device) + 0.3)[:, 0]
        if not kernels.supports(x, shape):
            raise A2SGError(f'{name}: there is no kernel for it on {device}')
        s, u = reference.forward_pass(x, rate, dynamics)
        _require_equal(f'forward, {name}', kernels.forward(x, rate, dynamics), (s, u))
        _require_equal(f'spikes alone, {name}', [kernels.spikes_alone(x, rate, dynamics)], [s])
        args: Any = u, grad_s, grad_u if with_grad_u else None, rate, dynamics, shape, beta
        _require_equal(f'backward, {name}', [kernels.backward(*args)], [reference.backward_pass(*args)])
        q, later = torch.randn(2, N, device=device)
        expected = reference.forward_chunk(x, rate, dynamics, q)
        _require_equal(f'forward of a chunk, {name}', kernels.forward_chunk(x, rate, dynamics, q), expected)
        args = expected[1], *args[1:], later
        _require_equal(f'backward of a chunk, {name}', kernels.backward_chunk(*args), reference.backward_chunk(*args))
        fired += int(expected[0].sum())
    if fired <= 1000:
        raise A2SGError(f'only {fired} neurons fired, so the comparison says nothing')
    return number


def compare_layer(device: torch.device) -> None:
    """Compare a layer and its gradients, whole and in chunks of time steps, with plain autograd.

    Args:
        device: see `compare_kernels`.

    Raises:
        A2SGError: gradients differ, or the layer did not use the kernels.
    """
    torch.manual_seed(0)
    for shape in (ASY(0.7), ATan()):
        layer = PLIF(tau=2.5, surrogate=shape, detach_reset=False).to(device)
        x = (2 * torch.randn(5, 3, 7, device=device)).requires_grad_()
        g = torch.randn_like(x)
        wanted = [x, *layer.parameters()]
        found = torch.autograd.grad(layer(x), wanted, g)
        expected = torch.autograd.grad(multistep_reference(x, layer.rate, layer.dynamics, shape, layer.beta), wanted, g)
        state, spikes = None, []
        for part in x.split(2):
            s, state = layer.advance(part, state)
            spikes.append(s)
        in_chunks = torch.autograd.grad(torch.cat(spikes), wanted, g)
        for gradients in (found, in_chunks):
            if not all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(gradients, expected)):
                raise A2SGError(f'the gradients of a layer with {shape} differ from those of autograd')
    kernels = {kernel: used for (_, kernel, *_), used in fused._compiled.items() if kernel is not None}
    missing = {'forward', 'backward', 'forward_chunk', 'backward_chunk'} - {kernel.__name__ for kernel in kernels}
    if missing or any(used is not kernel for kernel, used in kernels.items()):
        raise A2SGError(f'the layer did not use the Triton kernels, but {fused._compiled}')


def compare_searches(device: torch.device) -> int:
    """Compare the widths that the kernels of the exact search find with those of the search step by step.

    Each case has a policy with its options, a kind of neuron, and sizes that are drawn for it.

    Args:
        device: see `compare_kernels`.

    Returns:
        Number of the cases that were compared.

    Raises:
        A2SGError: widths differ, or the kernels were not used.
    """
    number = 0
    for number, (kind, options, neuron, T, N, dtype, with_grad_u, goes_on) in enumerate(_searches(), 1):
        name = f'case {number}, {kind.__name__}({options}), {neuron}, T = {T}, N = {N}, {dtype}'
        torch.manual_seed(number)
        u, grad_s, grad_u = (torch.randn(T, N, device=device) * scale for scale in (1.2, 1e-3, 1e-3))
        later = 1e-3 * torch.randn(N, device=device) if goes_on else None
        in_force = torch.rand(T, device=device) + 0.4
        found = []
        for context in (nullcontext, fused.step_by_step):
            policy = kind(**options)
            layer = attach(LIF(T=T, **neuron).to(device), policy)['']
            layer.set_widths(in_force)
            policy.begin(0)
            direct = grad_u.to(dtype) if with_grad_u else None
            gradients = LayerGradients(u.to(dtype), grad_s.to(dtype), direct, layer.rate, layer.dynamics, later)
            with context():
                widths = policy.controller(layer).choose(gradients)
            if context is nullcontext and not any(policy._tables.values()):
                raise A2SGError(f'{name}: the kernels were not used')
            found.append((widths, policy.searches, {key: int(value) for key, value in policy.on_bound.items()}))
        _require_equal(f'search, {name}', found[0][:1], found[1][:1])
        if found[0][1:] != found[1][1:]:
            raise A2SGError(f'search, {name}: {found[0][1:]} in place of {found[1][1:]}')
    return number


def _searches(seed: int = 0) -> Iterator[tuple]:
    draw = random.Random(seed)
    for _ in range(24):
        yield (
            draw.choice([A2SG, STASG, TASG]),
            dict(
                objective=draw.choice(['sgv', 'cv']),
                gain=draw.choice(['shape', 'area', 'norm']),
                temporal_part=draw.choice(['delta', 'own']),
                trust=draw.choice([None, 1.3]),
                min_inside=draw.choice([0.0, 0.05, 0.3]),
                candidates=draw.choice([2, 37, 128]),
                sample=draw.choice([None, 512]),
            ),
            dict(
                decay_input=draw.random() < 0.5,
                v_threshold=draw.choice([1.0, 0.5]),
                v_reset=draw.choice([0.0, 0.2]),
                reset=draw.choice(['hard', 'soft']),
                detach_reset=draw.random() < 0.5,
            ),
            draw.choice([1, 2, 3, 5]),
            draw.choice([30, 1024, 2500]),
            draw.choice([torch.float32, torch.bfloat16]),
            draw.random() < 0.3,
            draw.random() < 0.3,
        )


def _kinds(seed: int = 0) -> Iterator[tuple]:
    draw = random.Random(seed)
    choices = itertools.product(
        [True, False], [True, False], [True, False], range(2), [torch.float32, torch.bfloat16, torch.float16]
    )
    for decay_input, hard, detached, _, dtype in choices:
        yield (
            Dynamics(draw.choice([1.0, 0.7, 2.0]), draw.choice([0.0, -0.3, 0.5]), decay_input, hard, detached),
            dtype,
            draw.choice([1, 2, 5, 16, 100]),
            draw.choice([1, 5, 1023, 1100]),
            draw.choice([0.5, 0.3, 0.0, torch.tensor(0.4)]),
            draw.choice(SHAPES),
            draw.random() < 0.5,
            draw.random() < 0.3,
            draw.random() < 0.3,
        )


def _require_equal(name: str, found: Any, expected: Any) -> None:
    if not all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)):
        raise A2SGError(f'{name}: the kernel and the reference differ')
