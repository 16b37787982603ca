"""Two processes with half a batch each choose the windows, and get the gradients, of one with the whole batch."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.neurons import LIF

SEARCHERS = [dict(type='ExactSearcher'), dict(type='TPESearcher', trials=8)]


def jelly():
    from spikingjelly.activation_based.neuron import LIFNode

    return LIFNode(detach_reset=True, step_mode='m')


def jelly_fused():
    return jelly()


def build(searcher, surrogate, sample=None, neuron=LIF):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), neuron(), nn.Linear(40, 30), neuron(), nn.Linear(30, 5)).double()
    policy = A2SG(surrogate, searcher=searcher, sample=sample, candidates=16)
    layers = attach(model, policy, fuse=neuron is jelly_fused)
    policy.begin(0)
    return model, layers


def data():
    generator = torch.Generator().manual_seed(1)
    return 8 * torch.randn(4, 8, 6, dtype=torch.float64, generator=generator)


def result(model, layers):
    return {name: layer.beta for name, layer in layers.items()}, [p.grad.clone() for p in model.parameters()]


def half(rank, folder, *arguments):
    distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    model, layers = build(*arguments)
    # the loss is a sum, so that local gradients do not depend on the share of the batch
    parallel = DistributedDataParallel(model)
    parallel(data()[:, 4 * rank : 4 * rank + 4]).square().sum().backward()
    torch.save(result(model, layers), f'{folder}/rank{rank}.pt')
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    'searcher, surrogate, neuron',
    [
        *((searcher, surrogate, LIF) for searcher in SEARCHERS for surrogate in (dict(type='ASY'), dict(type='ATan'))),
        *((SEARCHERS[0], dict(type='ASY'), neuron) for neuron in (jelly, jelly_fused)),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else value.__name__,
)
def test_two_halves_equal_one_whole(searcher, surrogate, neuron, tmp_path):
    if neuron is not LIF:
        pytest.importorskip('spikingjelly')
    model, layers = build(searcher, surrogate, neuron=neuron)
    model(data()).square().sum().backward()
    betas, gradients = result(model, layers)
    arguments = str(tmp_path), searcher, surrogate, None, neuron
    multiprocessing.start_processes(half, arguments, nprocs=2, start_method='spawn')
    for rank in range(2):
        their_betas, their_gradients = torch.load(tmp_path / f'rank{rank}.pt')
        assert all(torch.equal(beta, their_betas[name]) for name, beta in betas.items())
        for ours, theirs in zip(gradients, their_gradients):
            torch.testing.assert_close(theirs * 2, ours)  # DDP averages


@pytest.mark.parametrize('sample, as_one', [(320, True), (64, False)])
def test_samples_are_drawn_from_the_own_share(sample, as_one, tmp_path):
    """Layers have 320 and 240 elements a time step. The choice is one's where that looks at them all; it is in common
    anyway."""
    arguments = SEARCHERS[0], dict(type='ASY'), sample
    model, layers = build(*arguments)
    model(data()).square().sum().backward()
    multiprocessing.start_processes(half, (str(tmp_path), *arguments), nprocs=2, start_method='spawn')
    alone = torch.cat(list(result(model, layers)[0].values()))
    first, second = (torch.cat(list(torch.load(tmp_path / f'rank{rank}.pt')[0].values())) for rank in range(2))
    assert torch.equal(first, second) and torch.equal(first, alone) == as_one
