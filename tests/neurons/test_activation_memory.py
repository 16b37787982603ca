"""Spikes that are made again from u: the same gradients, from less memory."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from a2sg_zoo.models.layers import conv_bn
from a2sg_zoo.neurons import IF, LIF, PLIF, activation_memory
from a2sg_zoo.neurons.activation_memory import spikes_from_potentials
from a2sg_zoo.registry import MODELS


class Net(nn.Module):
    def __init__(self, channels=8):
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn(channels, channels),
            LIF(),
            conv_bn(channels, channels),
            PLIF(),
            conv_bn(channels, channels),
            IF(v_threshold=0.7),
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('channels_last', [False, True])
def test_gradients_are_the_same(dtype, channels_last):
    torch.manual_seed(0)
    net = Net().to(dtype)
    x = 2 * torch.randn(3, 4, 8, 9, 7, dtype=dtype)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (3, 4))
    wanted, g = list(net.parameters()), torch.randn(3, 4, 8, 9, 7, dtype=dtype)
    expected = torch.autograd.grad(net(x), wanted, g)
    with spikes_from_potentials():
        y = net(x)
    found = torch.autograd.grad(y, wanted, g)
    assert all(torch.equal(a, b) for a, b in zip(expected, found)) and any(a.abs().sum() > 0 for a in found)


def test_two_of_three_convolutions_have_spikes_to_spare(monkeypatch):
    notes = []
    monkeypatch.setattr(activation_memory, '_Spikes', lambda *args: notes.append(args))
    x = torch.randn(2, 3, 8, 8, 8)
    with activation_memory.spikes_from_potentials():
        Net()(x)
    assert [shape for _, _, shape, *_ in notes] == [(6, 8, 8, 8)] * 2
    with torch.no_grad(), activation_memory.spikes_from_potentials():
        Net()(x)
    Net()(x)
    assert len(notes) == 2


def test_memory_that_is_reused_or_written_to_is_not_taken_for_spikes():
    neuron = IF()
    x = (3 * torch.randn(2, 500)).requires_grad_()
    with spikes_from_potentials():
        for _ in range(20):  # the next product is given the memory of spikes that are gone
            neuron(x)
            a = torch.randn(2, 500)
            b = a.exp().requires_grad_()
            y = b * b.detach().mul(2)
            (gradient,) = torch.autograd.grad(y.sum(), b)
            assert torch.equal(gradient, b.detach() * 2)
        s = neuron(x).detach()
        s.mul_(3)
        w = torch.ones(2, 500, requires_grad=True)
        y = (w * s).sum()
    assert torch.equal(torch.autograd.grad(y, w)[0], s)


@pytest.mark.parametrize(
    'config',
    [
        dict(type='SpikingResNet', depths=(1, 1), widths=(8, 16), stem=8),
        dict(type='Spikformer', form='cifar', embed_dims=32, depth=2, num_heads=2),
        dict(type='MetaSpikeFormer', embed_dims=[16, 32, 48, 64], depths=[1, 1], num_heads=4),
    ],
    ids=lambda c: c['type'],
)
def test_backbones(config):
    """The option changes what is kept, and no gradient."""
    results = {}
    for save_spikes in (True, False):
        torch.manual_seed(0)
        net = MODELS.build(dict(config, T=3, time='keep', save_spikes=save_spikes)).train()
        x = 2 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        y = net(x)[-1]
        (y * torch.linspace(0, 1, y.numel()).view_as(y)).sum().backward()
        results[save_spikes] = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(*results.values())) and sum(float(g.norm()) for g in results[True]) > 0


def test_an_operation_that_keeps_its_own_result_is_freed():
    """exp keeps its result, so a note that holds the result itself would hold the graph for ever."""
    x = torch.rand(8, requires_grad=True)
    with spikes_from_potentials():
        y = x.exp()
        memory = StorageWeakRef(y.untyped_storage())
        z = y.sigmoid()
    z.sum().backward()
    del y, z
    assert memory.expired()


def test_second_derivatives_are_those_without_notes():
    x = torch.rand(8, requires_grad=True, dtype=torch.float64)
    found = []
    for context in (nullcontext(), spikes_from_potentials()):
        with context:
            y = x.exp().sigmoid() * x
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    assert torch.equal(*found)
