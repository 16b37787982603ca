"""Networks that torch.compile takes as a whole: the same spikes, gradients and windows."""

import copy

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.registry import MODELS

pytestmark = pytest.mark.skipif(torch._dynamo.config.disable, reason='torch.compile is switched off')

NETWORKS = [
    dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4),
    dict(type='Spikformer', form='cifar', embed_dims=16, depth=1, num_heads=2),
]
IMAGES = dict(generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def twins(config):
    torch.manual_seed(0)
    # float64: a compiler may order sums otherwise, and where u lies at the threshold that makes another spike
    network = MODELS.build(dict(config, T=3, time='keep')).double().train()
    return network, copy.deepcopy(network)


def step(network, compiled, x):
    """Output and gradients of a pass; weights move, so that the next differs."""
    y = compiled(x)[-1]
    (y * torch.linspace(0, 1, y.numel(), dtype=y.dtype).view_as(y)).mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    torch.optim.SGD(network.parameters(), lr=0.5).step()
    network.zero_grad()
    return y, gradients


def agree(found, expected):
    assert torch.equal(found[0], expected[0]) and 0 < float(expected[0].mean()) < 1
    assert sum(float(g.norm()) for g in expected[1]) > 0
    for a, b in zip(found[1], expected[1]):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    'network', [pytest.param('Spikformer', marks=pytest.mark.slow), 'SpikingResNet', 'SpikingResNet in channels last']
)
def test_one_graph(network):
    name, _, channels_last = network.partition(' in ')
    (config,) = (config for config in NETWORKS if config['type'] == name)
    network, twin = twins(config)
    x = 2 * torch.randn(2, 3, 8, 8, **IMAGES)
    if channels_last:
        x, twin = (z.to(memory_format=torch.channels_last) for z in (x, twin))
    compiled = torch.compile(twin, fullgraph=True)
    for _ in range(2):
        agree(step(twin, compiled, x), step(network, network, x))


def test_blocks_that_run_again_are_refused():
    network, twin = twins({**NETWORKS[0], 'recompute': True})
    twin.compile()
    x = torch.randn(2, 3, 8, 8, **IMAGES)
    for compiled in (torch.compile(network), twin):
        with pytest.raises(ConfigError, match='recompute'):
            compiled(x)
        with torch.no_grad():  # nothing runs again
            assert compiled(x)[-1].isfinite().all()


@pytest.mark.parametrize('searcher', ['ExactSearcher', 'TPESearcher'])
def test_windows_that_are_searched_for(searcher):
    """In every second step; between, and under observation, the same network goes on."""
    pair = twins(NETWORKS[0])
    policies = [A2SG(searcher=dict(type=searcher), interval=2, candidates=16) for _ in pair]
    for network, policy in zip(pair, policies):
        attach(network, policy)
    compiled = torch.compile(pair[1])
    x = 2 * torch.randn(2, 3, 8, 8, **IMAGES)
    windows = []
    for iteration in range(4):
        for policy in policies:
            policy.begin(iteration, observe=iteration == 3)
        agree(step(pair[1], compiled, x), step(pair[0], pair[0], x))
        ours, theirs = (torch.stack([n.beta for n in named_neurons(network).values()]) for network in pair)
        assert torch.equal(ours, theirs)
        windows.append(ours)
    assert torch.equal(windows[0], windows[1]) and not torch.equal(windows[1], windows[2])
    assert policies[0].searches == policies[1].searches
    records = [
        {name: policy.records[n] for name, n in named_neurons(network).items()}
        for network, policy in zip(pair, policies)
    ]
    torch.testing.assert_close(*records, rtol=1e-9, atol=1e-12)
