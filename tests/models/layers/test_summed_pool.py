"""Max pooling of sums over time: against brute force, in parts, and with neurons behind it."""

import pytest
import torch
from torch.nn.functional import max_pool2d

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import SummedMaxPool2d
from a2sg_zoo.neurons import IF


def currents(T=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(T, 2, 3, 9, 6, generator=generator, dtype=dtype)


@pytest.mark.parametrize('T', [1, 2, 5])
def test_against_brute_force(T):
    x = currents(T)
    maxima = [max_pool2d(x[: t + 1].sum(0), 2) for t in range(T)]
    expected = torch.stack([new - old for new, old in zip(maxima, [torch.zeros_like(maxima[0]), *maxima])])
    torch.testing.assert_close(SummedMaxPool2d(2)(x), expected)


def test_windows_have_a_size():
    with pytest.raises(ConfigError, match=r'kernel_size\b.*0'):
        SummedMaxPool2d(0)


def test_gradients():
    assert torch.autograd.gradcheck(SummedMaxPool2d(2), currents(3)[:, :1, :1].requires_grad_())


@pytest.mark.parametrize('cuts', [(1,), (2, 3), (1, 2, 3, 4)])
def test_in_parts(cuts):
    pool, x, state, found = SummedMaxPool2d(2), currents(), None, []
    for part in x.tensor_split(cuts):
        y, state = pool.advance(part, state)
        found.append(y)
    torch.testing.assert_close(torch.cat(found), pool(x))


def test_sums_are_not_rounded_to_half_precision():
    """The output is, once; the sums of 64 time steps before it are not."""
    x = currents(64, torch.float32).bfloat16()
    y = SummedMaxPool2d(2)(x)
    assert y.dtype == torch.bfloat16
    exact = SummedMaxPool2d(2)(x.double())
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=1e-5)


def test_memory_format_is_kept():
    """Convolutions around it are several times slower on maps in the other format."""
    x = currents(3)[:, :, :, :6].flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2))
    assert SummedMaxPool2d(2)(x).flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_neuron_behind_it_sends_as_if_the_largest_current_came_alone():
    """Constant currents, of which another one is the largest at each place: the spikes of the pooled current."""
    x = currents(1).expand(8, -1, -1, -1, -1)
    neuron = IF(v_threshold=1.0, reset='soft')
    assert torch.equal(neuron(SummedMaxPool2d(2)(x)), neuron(max_pool2d(x[0], 2).expand(8, -1, -1, -1, -1)))
