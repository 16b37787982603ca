"""Spiking attention against sums of products of whole numbers, rounded once."""

from contextlib import nullcontext

import pytest
import torch

from a2sg_zoo.models.layers import spiking_attention

HEADS = 2


def spikes(d, N, wide=1, rate=0.99):
    q, k, v = ((torch.rand(2, 1, HEADS * c, N) < rate).double() for c in (d, d, wide * d))
    return q, k, v


def exact(q, k, v, scale=1.0):
    """In float64, which holds all counts."""
    q, k, v = (x.unflatten(2, (HEADS, -1)) for x in (q, k, v))
    return scale * torch.einsum('tbhcn,tbhcm,tbhem->tbhen', q, k, v).flatten(2, 3)


# tokens and channels on either side of each other, of the 256 of bfloat16 and of the 2048 of float16
SIZES = [(16, 9), (16, 40), (64, 256), (64, 257), (64, 1024), (8, 2100), (300, 290), (270, 200)]


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('d, N', SIZES)
def test_half_precision_rounds_the_result_alone(d, N, dtype, autocast):
    # float16 ends at 65,504
    q, k, v = spikes(d, N, rate=0.5 if dtype == torch.float16 and d * N > 65504 else 0.99)
    given = [x.to(torch.float32 if autocast else dtype) for x in (q, k, v)]
    with torch.autocast('cpu', dtype) if autocast else nullcontext():
        found = spiking_attention(*given, HEADS, 0.125)
    assert found.dtype == dtype and torch.equal(found, exact(q, k, v, 0.125).to(dtype))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize('d, N', SIZES)
def test_single_and_double_precision_are_exact(d, N, dtype):
    q, k, v = spikes(d, N)
    found = spiking_attention(*(x.to(dtype) for x in (q, k, v)), HEADS, 0.125)
    assert found.dtype == dtype and torch.equal(found.double(), exact(q, k, v, 0.125))


@pytest.mark.parametrize('wide', [1, 4])
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 2**-8), (torch.float32, 1e-6)], ids=str)
@pytest.mark.parametrize('d, N', [(16, 9), (16, 40), (16, 600)])
def test_gradients(d, N, dtype, tolerance, wide):
    q, k, v = spikes(d, N, wide)
    g = torch.randn(v.shape).to(dtype)
    ours, theirs = ([x.to(kind).requires_grad_() for x in (q, k, v)] for kind in (dtype, torch.float64))
    spiking_attention(*ours, HEADS, 0.125).backward(g)
    exact(*theirs, 0.125).backward(g.double())
    for a, b in zip(ours, theirs):
        assert a.grad.dtype == dtype and (a.grad - b.grad).norm() < tolerance * b.grad.norm()


@pytest.mark.skipif(torch._dynamo.config.disable, reason='torch.compile is switched off')
@pytest.mark.parametrize('autocast', [False, True])
def test_one_graph(autocast):
    q, k, v = spikes(8, 300)
    compiled = torch.compile(spiking_attention, fullgraph=True)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        found = compiled(q.float(), k.float(), v.float(), HEADS, 1.0)
    assert torch.equal(found, exact(q, k, v).to(torch.bfloat16 if autocast else torch.float32))
