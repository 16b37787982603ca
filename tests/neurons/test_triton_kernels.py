"""Kernels for CUDA against the reference, bit by bit: in Triton's interpreter, and on a GPU where there is one."""

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from a2sg_zoo.neurons import LIF, PLIF, multistep, multistep_reference
from a2sg_zoo.neurons import dynamics as reference
from a2sg_zoo.neurons.controllers import FixedWidths
from a2sg_zoo.neurons.dynamics import Dynamics
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan, PiecewiseLinear
from a2sg_zoo.surrogates.piecewise_linear import UnitArea
from tests.fake_gpu import fake_gpu

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ASY(0.7, 0.6), TRI(0.9), TRI(1.1, normalize='peak'), BOX(1.2), UnitArea(ASY(0.8))


def cases(seed=0):
    """All kinds of neurons, each with a number of steps, a type, a rate and a shape drawn for it."""
    draw = random.Random(seed)
    kinds = itertools.product(
        [True, False], [True, False], [True, False], [0.0, -0.3], [torch.float32, torch.bfloat16, torch.float16]
    )
    for decay_input, hard, detached, v_reset, dtype in kinds:
        yield (
            Dynamics(draw.choice([1.0, 0.7]), v_reset, decay_input, hard, detached),
            dtype,
            draw.choice([1, 2, 5, 16, 100]),
            draw.choice([1, 5, 1023, 1100]),
            draw.choice([0.5, 0.3, torch.tensor(0.4)]),
            draw.choice(SHAPES),
            draw.random() < 0.5,
            draw.random() < 0.3,
            draw.random() < 0.3,
        )


def check(device):
    """The kernels on a device against the reference on that device; returns how many cases were compared."""
    from a2sg_zoo.neurons import triton_kernels as kernels

    torch.manual_seed(0)
    fired = 0
    for i, (dynamics, dtype, T, N, rate, shape, per_step, with_grad_u, repeated) in enumerate(cases()):
        rate = rate.to(device) if isinstance(rate, torch.Tensor) else rate
        x, grad_s, grad_u = ((1.5 * torch.randn(T, N, device=device)).to(dtype) for _ in range(3))
        if repeated:
            x, grad_s = x[:1].expand(T, N), grad_s[:1].expand(T, N)
        beta = (torch.rand(T if per_step else 1, 2, device=device) + 0.3)[:, 0]
        assert kernels.supports(x, shape)
        expected = reference.forward_pass(x, rate, dynamics)
        found = kernels.forward(x, rate, dynamics)
        name = i, dynamics, dtype, T, N, rate
        assert torch.equal(found[1], expected[1]) and torch.equal(found[0], expected[0]), name
        assert torch.equal(kernels.spikes_alone(x, rate, dynamics), expected[0]), name
        args = expected[1], grad_s, grad_u if with_grad_u else None, rate, dynamics, shape, beta
        assert torch.equal(kernels.backward(*args), reference.backward_pass(*args)), (*name, shape)
        q, later = torch.randn(2, N, device=device)
        expected = reference.forward_chunk(x, rate, dynamics, q)
        found = kernels.forward_chunk(x, rate, dynamics, q)
        assert all(torch.equal(a, b) for a, b in zip(found, expected)), name
        args = expected[1], *args[1:], later
        expected, found = reference.backward_chunk(*args), kernels.backward_chunk(*args)
        assert all(torch.equal(a, b) for a, b in zip(found, expected)), (*name, shape)
        fired += int(expected[0].sum())
    assert fired > 1000
    return i + 1


def check_layer(device):
    """A layer and its gradients go through the kernels, and are those of plain autograd."""
    from a2sg_zoo.neurons import fused

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
        for a, b, c in zip(found, expected, in_chunks):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6), shape
            assert torch.allclose(c, b, rtol=1e-5, atol=1e-6), shape
    used = {kernel.__name__ for _, kernel, *_ in fused._compiled if kernel is not None}
    assert used == {'forward', 'backward', 'forward_chunk', 'backward_chunk'} and all(
        _compiled is kernel for (_, kernel, *_), _compiled in fused._compiled.items() if kernel is not None
    )


# the interpreter cuts bfloat16 off where GPUs round to the nearest, so torch rounds for it
IN_THE_INTERPRETER = """
import torch
from triton.runtime import interpreter
convert = interpreter._convert_float
interpreter._convert_float = lambda x, source, target, mode: (
    torch.tensor(x).bfloat16().view(torch.uint16).numpy() if source.is_fp32() and target.is_bf16() else
    convert(x, source, target, mode))
from tests.neurons.test_triton_kernels import check, check_layer
print(check(torch.device('cpu')), 'cases')
check_layer(torch.device('cpu'))
"""


def test_in_the_interpreter():
    pytest.importorskip('triton')
    done = subprocess.run(
        [sys.executable, '-c', IN_THE_INTERPRETER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'TRITON_INTERPRET': '1', 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert '48 cases' in done.stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    pytest.importorskip('triton')
    assert check(torch.device('cuda')) == 48
    check_layer(torch.device('cuda'))


class Unlaunched:
    """In place of a kernel: notes what it is called with."""

    def __init__(self):
        self.calls = []

    def __getitem__(self, grid):
        return lambda *args, **options: self.calls.append(args)


@pytest.mark.skipif(torch.__version__.startswith('2.6.'), reason='fake tensors in a custom function abort torch 2.6')
@pytest.mark.parametrize('kind', [LIF, PLIF])
@pytest.mark.parametrize('decay_input', [True, False])
@pytest.mark.parametrize('shape', [*SHAPES, BOX(normalize='peak'), ATan()], ids=repr)
def test_a_layer_copies_nothing_to_the_device(shape, decay_input, kind, monkeypatch):
    """A number that is copied there stops the host until the device has done all that it was given."""
    pytest.importorskip('triton')
    from a2sg_zoo.neurons import fused
    from a2sg_zoo.neurons import triton_kernels as kernels

    forward, backward = Unlaunched(), Unlaunched()
    monkeypatch.setattr(kernels, '_forward', forward)
    monkeypatch.setattr(kernels, '_backward', backward)
    monkeypatch.setattr(fused, '_compiled', {})
    with fake_gpu() as crossings:
        with torch.device('cuda'):
            layer = kind(decay_input=decay_input, surrogate=shape)
        crossings.clear()
        x = torch.randn(4, 3, 5, device='cuda', requires_grad=True)
        for window in (FixedWidths(shape, layer.beta), FixedWidths(shape, 0.8)):
            s = multistep(x, layer.rate, layer.dynamics, window)
            # autograd's engine would ask for a GPU
            s.grad_fn.apply(torch.randn_like(s), None)
    assert crossings == []
    assert len(forward.calls) == 2 and len(backward.calls) == 2 * isinstance(shape, PiecewiseLinear)
    for call in backward.calls:
        beta, slope, offset = call[6:9]
        assert beta.shape == slope.shape == offset.shape == (1,) and slope.device == offset.device == x.device


def test_what_there_is_no_kernel_for(monkeypatch):
    pytest.importorskip('triton')
    from a2sg_zoo.neurons.triton_kernels import supports

    assert not supports(torch.zeros(4, 5))  # a CPU
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    assert supports(torch.zeros(4, 5)) and supports(torch.zeros(4, 5), ASY())
    assert not supports(torch.zeros(4, 5), ATan()) and not supports(torch.zeros(4, 5, dtype=torch.float64))
