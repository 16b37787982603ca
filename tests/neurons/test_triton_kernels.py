"""Kernels for CUDA against the reference, bit by bit: in Triton's interpreter, and on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from a2sg_zoo.benchmark.gpu.kernels import SHAPES, compare_kernels, compare_layer, compare_searches
from a2sg_zoo.neurons import LIF, PLIF, multistep
from a2sg_zoo.neurons.controllers import FixedWidths
from a2sg_zoo.surrogates import ASY, BOX, ATan, PiecewiseLinear
from tests.fake_gpu import Unlaunched, fake_gpu

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures('compiler')


# the interpreter cuts bfloat16 off where GPUs round to the nearest, so torch rounds for it
IN_THE_INTERPRETER = """
import torch
from triton.runtime import interpreter
convert = interpreter._convert_float
interpreter._convert_float = lambda x, source, target, mode: (
    torch.tensor(x).bfloat16().view(torch.uint16).numpy() if source.is_fp32() and target.is_bf16() else
    convert(x, source, target, mode))
from a2sg_zoo.benchmark.gpu.kernels import compare_kernels, compare_layer, compare_searches
print(compare_kernels(torch.device('cpu')), 'cases')
compare_layer(torch.device('cpu'))
print(compare_searches(torch.device('cpu')), 'searches')
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
    assert '48 cases' in done.stdout and '24 searches' in done.stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    pytest.importorskip('triton')
    assert compare_kernels(torch.device('cuda')) == 48
    compare_layer(torch.device('cuda'))
    assert compare_searches(torch.device('cuda')) == 24


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

    class Leaky(ASY):
        def __call__(self, z, beta):
            return super().__call__(z, beta) + 0.1

    assert not supports(torch.zeros(4, 5))  # a CPU
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    assert supports(torch.zeros(4, 5)) and supports(torch.zeros(4, 5), ASY())
    assert not any(supports(torch.zeros(4, 5), shape) for shape in (ATan(), Leaky()))
    assert not supports(torch.zeros(4, 5, dtype=torch.float64))
