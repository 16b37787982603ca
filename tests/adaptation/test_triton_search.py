"""The kernels of the exact search: code for GPUs, and how they are called. test_triton_kernels.py compares results."""

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.adaptation.triton_search import search, search_table
from a2sg_zoo.neurons import LIF, LayerGradients
from a2sg_zoo.neurons.fused import step_by_step
from a2sg_zoo.surrogates import ASY
from tests.fake_gpu import Unlaunched, fake_gpu

triton = pytest.importorskip('triton')
pytestmark = pytest.mark.usefixtures('compiler')
TYPES = {torch.float32: '*fp32', torch.float64: '*fp64', torch.bfloat16: '*bf16', torch.int32: '*i32'}


class Compiled:
    """In place of a kernel: generates code for an H100 in place of a launch."""

    def __init__(self, kernel, found):
        self.kernel, self.found = kernel, found

    def __getitem__(self, grid):
        def launch(*args, enable_fp_fusion, **constants):
            given = dict(zip(self.kernel.arg_names, args))
            constants |= {name: value for name, value in given.items() if value is None}
            kinds = {int: 'i32', float: 'fp32'}
            signature = {
                name: 'constexpr' if name in constants else TYPES[x.dtype] if torch.is_tensor(x) else kinds[type(x)]
                for name, x in given.items()
            } | dict.fromkeys(constants, 'constexpr')
            source = triton.compiler.ASTSource(self.kernel, signature, constants)
            target = triton.backends.compiler.GPUTarget('cuda', 90, 32)
            code = triton.compile(source, target, dict(enable_fp_fusion=enable_fp_fusion))
            self.found.append((self.kernel.__name__, 'fma.rn.f32' in code.asm['ptx'], code.asm['cubin']))

        return launch


@pytest.mark.parametrize('hard', [True, False])
def test_code_for_gpus(hard, monkeypatch):
    from a2sg_zoo.adaptation import triton_search

    found = []
    for name in ('_moments', '_choose'):
        monkeypatch.setattr(triton_search, name, Compiled(getattr(triton_search, name), found))
    neuron = LIF(T=3, reset='hard' if hard else 'soft', detach_reset=not hard)
    u, grad_s, grad_u = torch.randn(3, 3, 40).bfloat16()
    table = search_table(
        torch.linspace(0.1, 2, 37).double(), 0.1, 2.0, ASY(), ASY(), hard, True, hard, 1.3, 0.05, torch.device('cpu')
    )
    gradients = LayerGradients(u, grad_s, grad_u if hard else None, neuron.rate, neuron.dynamics)
    search(gradients, torch.ones(3), table)
    assert [name for name, *_ in found] == ['_moments', '_choose'] * 3
    assert all(binary and not fused for _, fused, binary in found)


def test_a_search_copies_nothing_to_the_device(monkeypatch):
    """A number that is copied there stops the host until the device has done all that it was given."""
    from a2sg_zoo.adaptation import triton_search

    kernel = Unlaunched()
    for name in ('_moments', '_choose'):
        monkeypatch.setattr(triton_search, name, kernel)
    with fake_gpu() as crossings:
        policy = A2SG(sample=None, trust=1.5)
        with torch.device('cuda'):
            layer = attach(LIF(T=3), policy)['']
            u, grad_s = torch.randn(2, 3, 40)
        for iteration in range(2):
            crossings.clear()  # a policy copies its candidates once
            policy.begin(iteration)
            gradients = LayerGradients(u, grad_s, None, layer.rate, layer.dynamics)
            assert policy.controller(layer).choose(gradients).device.type == 'cuda'
        assert crossings == [] and len(kernel.calls) == 12
        assert policy.searches == dict(spatial=2, temporal=4)


def test_a_policy_with_a_width_of_its_own_is_asked_for_it(monkeypatch):
    class Halved(A2SG):
        def width(self, *args):
            return super().width(*args) / 2

    monkeypatch.setenv('TRITON_INTERPRET', '1')
    policy = Halved()
    layer = attach(LIF(T=3), policy)['']
    policy.begin(0)
    gradients = LayerGradients(*torch.randn(2, 3, 40), None, layer.rate, layer.dynamics)
    with step_by_step():
        expected = policy.controller(layer).choose(gradients)
    layer.set_widths(1.0)
    assert policy.controller(layer).choose(gradients).equal(expected)


def test_a_search_without_a_compiler_goes_step_by_step(monkeypatch):
    from a2sg_zoo.adaptation import triton_search

    calls = []

    def broken(*args):
        calls.append(args)
        raise RuntimeError('Failed to find C compiler')

    monkeypatch.setenv('TRITON_INTERPRET', '1')
    monkeypatch.setattr(triton_search, 'search', broken)
    policy = A2SG()
    layer = attach(LIF(T=3), policy)['']
    gradients = LayerGradients(*torch.randn(2, 3, 40), None, layer.rate, layer.dynamics)
    for iteration in range(2):
        policy.begin(iteration)
        widths = policy.controller(layer).choose(gradients)
    assert len(calls) == 1 and not widths.equal(torch.ones(3))
    assert policy.searches == dict(spatial=2, temporal=4)
