"""Every neuron in two networks, and every network with one of the newer neurons, by one config line."""

import itertools

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.models.backbones import SpikingBackbone
from a2sg_zoo.neurons import ILIF, Neuron, named_neurons
from a2sg_zoo.registry import MODELS, NEURONS

from .test_families import FAMILIES
from .test_sequences import NETWORKS as SEQUENCES

T = 2
# what the backbone below cannot know
ARGUMENTS = dict(Recurrent=dict(neuron=dict(type='ALIF'), features=8))
NAMES = [name for name in NEURONS.own_names() if NEURONS.get(name).__module__.startswith('a2sg_zoo')]
NEWER = [name for name in NAMES if name not in ('IF', 'LIF', 'PLIF', 'ILIF', 'NILIF', 'Recurrent')]
TWO = {
    'resnet': dict(type='SpikingResNet', depths=(1, 1), widths=(8, 8), stem=8),
    'spikformer': dict(type='Spikformer', form='cifar', embed_dims=16, depth=1, num_heads=2),
}
DELAYS = dict(type='DelaySNN', in_features=5, widths=(8, 8), max_delay=4)
EACH = {name: config for name, (config, _) in {**FAMILIES, **SEQUENCES}.items() if name != 'qkformer_carry'}
# a search has no fixed number of time steps where samples follow one another
EACH = {name: {**config, **dict(carry_over=False)} if 'qk' in name else config for name, config in EACH.items()}
EACH['csnn'] = dict(type='CSNN', widths=(4, 8))
PAIRS = [
    *((f'{network} with {name}', TWO[network], name) for network in TWO for name in NAMES if name != 'Recurrent'),
    *((f'delays with {name}', DELAYS, name) for name in NAMES if name not in ('PSN', 'MaskedPSN')),
    *(
        (f'{network} with {name}', config, name)
        for (network, config), name in zip(EACH.items(), itertools.cycle(NEWER))
    ),
]


@pytest.mark.parametrize('config, name', [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_a_network_takes_a_neuron_and_searches_its_widths(config, name):
    torch.manual_seed(0)
    network = MODELS.build({**config, 'T': T, 'neuron': dict(type=name, **ARGUMENTS.get(name, {}))})
    for module in network.modules():  # neurons fire at all depths
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.constant_(module.bias, 0.7)
    spikes = {}
    for key, module in network.named_modules():
        if isinstance(module, (Neuron, ILIF)):
            module.register_forward_hook(lambda module, args, s, key=key: spikes.update({key: (module, s)}))
    searched = issubclass(NEURONS.get(name), Neuron) or name == 'Recurrent'
    layers = attach(network, A2SG(beta_min=0.3, candidates=8, sample=512)) if searched else {}
    if 'in_features' in config:
        x = 2 * torch.randn(T, 2, config['in_features'])
    else:
        channels = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)).in_channels
        x = torch.rand(1, channels, 32, 32)
    (out,) = network(x)
    (out * torch.randn(out.shape)).sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    for module, s in spikes.values():
        counts = s / getattr(module, 'unit', 1)
        assert (
            torch.equal(counts, counts.round()) and 0 <= counts.min() and counts.max() <= getattr(module, 'levels', 1)
        )
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    if searched:
        assert layers.keys() == named_neurons(network).keys()
        assert all(layer.beta.shape == (T,) for layer in layers.values())
        assert any((layer.beta != 1).any() for layer in layers.values())


def test_no_network_is_missing():
    networks = {name for name, kind in MODELS.module_dict.items() if issubclass(kind, SpikingBackbone)}
    # those of language have a test of their own over all neurons, tests/models/language
    assert {n for n in networks if MODELS.get(n).__module__.startswith('a2sg_zoo.models.backbones')} == {
        c['type'] for c in EACH.values()
    }
