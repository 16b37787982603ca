"""Searches under autocast and a scaled loss: the windows and gradients of single precision, as near as half is."""

import copy

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.neurons import LIF, named_neurons

SEARCHERS = ['ExactSearcher', 'TPESearcher']


def network(searcher, sample=None):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 40), LIF(), nn.Linear(40, 40), LIF(), nn.Linear(40, 5))
    policy = A2SG(searcher=dict(type=searcher), sample=sample, candidates=32)
    attach(net, policy)
    policy.begin(0)
    return net


def windows(net):
    return torch.stack([neuron.beta for neuron in named_neurons(net).values()])


def current():
    return 6 * torch.randn(3, 64, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('searcher', SEARCHERS)
def test_the_scale_of_the_loss_moves_no_window(searcher):
    """Powers of two change no bit of a gradient but its exponent."""
    found = []
    for scale in (1, 2.0**12):
        net = network(searcher)
        (net(current()).square().mean() * scale).backward()
        found.append((windows(net), net[0].weight.grad / scale))
    assert torch.equal(*(beta for beta, _ in found)) and torch.equal(*(g for _, g in found))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('searcher', SEARCHERS)
def test_autocast(searcher, dtype):
    """The spikes are those of half precision, so the reference is the same network whose currents are rounded to it."""
    net = network(searcher)
    with torch.autocast('cpu', dtype):
        y = net(current())
    assert y.dtype == dtype
    scale = 2.0**8
    (y.float().square().mean() * scale).backward()
    beta = windows(net)
    assert beta.dtype == torch.float32 and beta.isfinite().all() and len(beta.unique()) > 2
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in net.parameters())

    # fixed at these windows, single precision on the same (rounded) weights gives nearly the same gradient
    single = copy.deepcopy(net)
    for p, q in zip(single.parameters(), net.parameters()):
        p.data, p.grad = q.detach().to(dtype).float(), None
    for neuron in named_neurons(single).values():
        neuron.policy = None
    single(current().to(dtype).float()).square().mean().backward()
    ours, theirs = (torch.cat([p.grad.flatten() for p in n.parameters()]) for n in (net, single))
    cosine = torch.nn.functional.cosine_similarity(ours, theirs, 0)
    assert cosine > (0.9 if dtype == torch.bfloat16 else 0.98)
    assert 0.8 < float(ours.norm() / scale / theirs.norm()) < 1.25


@pytest.mark.parametrize('searcher', SEARCHERS)
def test_a_step_that_the_scaler_skips_moves_no_window(searcher):
    """Overflow in float16 is infinity: windows stay, the scaler takes a smaller scale and leaves the weights."""
    net = network(searcher)
    before, weights = windows(net).clone(), net[0].weight.detach().clone()
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**60)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    with torch.autocast('cpu', torch.float16):
        y = net(current())
    scaler.scale(y.float().square().mean()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(net[0].weight, weights) and scaler.get_scale() < 2.0**60
    assert torch.equal(windows(net), before.expand_as(windows(net)))
