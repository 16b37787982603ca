"""Networks for data with a time axis: shapes, causality, training, resuming, wrong arguments and data."""

import pytest
import torch

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.sequence_spikformer import causal_attention
from a2sg_zoo.registry import MODELS

SPIKFORMER = dict(type='SequenceSpikformer', in_features=5, embed_dims=16, depth=1, num_heads=4)
RECURRENT = dict(type='RecurrentSNN', in_features=5, widths=(8,), neuron=dict(type='LIF', tau=2.0))
# a small network of each kind, and the channels of its stages
NETWORKS = {
    'delays': (dict(type='DelaySNN', in_features=5, widths=(8, 12), max_delay=4), (8, 12)),
    'delays_layer_norm': (dict(type='DelaySNN', in_features=5, widths=(8,), max_delay=4, norm='layer'), (8,)),
    'recurrent': (dict(RECURRENT, widths=(8, 12)), (8, 12)),
    'recurrent_alif': (
        dict(type='RecurrentSNN', in_features=5, widths=(8,), norm='layer', neuron=dict(type='ALIF')),
        (8,),
    ),
    'without_feedback': (dict(RECURRENT, recurrent=False), (8,)),
    'spikformer': (SPIKFORMER, (8, 16, 16)),
    'spikformer_whole': (dict(SPIKFORMER, causal=False), (8, 16, 16)),
}
CAUSAL = [name for name in NETWORKS if name != 'spikformer_whole']


def build(name, T=9, **kwargs):
    config, channels = NETWORKS[name]
    torch.manual_seed(0)
    backbone = MODELS.build({**config, 'T': T, 'time': 'keep', 'out_indices': range(len(channels)), **kwargs})
    for module in backbone.modules():  # neurons fire at all depths
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.LayerNorm)):
            torch.nn.init.constant_(module.weight, 1.5)
            torch.nn.init.constant_(module.bias, 2.5)
    return backbone, channels


@pytest.mark.parametrize('T', [1, 9])
@pytest.mark.parametrize('name', NETWORKS)
def test_shapes(name, T):
    backbone, channels = build(name, T)
    outputs = backbone.eval()(torch.randn(T, 3, 5))
    assert [tuple(y.shape) for y in outputs] == [(T, 3, c) for c in channels] and backbone.out_channels == [*channels]
    assert 0 < outputs[-1].mean() < 10
    mean = build(name, T, time='mean')[0].eval()(torch.randn(T, 3, 5))
    assert mean[-1].shape == (3, channels[-1])


@pytest.mark.parametrize('name', NETWORKS)
def test_causality(name):
    """Outputs do not depend on later time steps, exactly where the network says so."""
    backbone, _ = build(name)
    x = torch.randn(9, 3, 5)
    whole, part = backbone.eval()(x), backbone(x[:4], 4)
    assert all(torch.equal(a[:4], b) for a, b in zip(whole, part)) == (name in CAUSAL)


@pytest.mark.parametrize('recompute', [False, True])
@pytest.mark.parametrize('name', NETWORKS)
def test_trains_with_a_search(name, recompute):
    backbone, _ = build(name, out_indices=(-1,), recompute=recompute)
    neurons = attach(backbone.train(), policy := A2SG())
    policy.begin(0)
    (y,) = backbone(torch.randn(9, 4, 5))
    (y * torch.randn_like(y)).sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    assert all(neuron.beta.shape == (9,) for neuron in neurons.values())
    assert any((neuron.beta != neuron.beta[0]).any() for neuron in neurons.values())


@pytest.mark.parametrize('name', NETWORKS)
def test_sizes_follow_from_the_weights(name):
    config, _ = NETWORKS[name]
    backbone = MODELS.build(config)
    sizes = backbone.sizes_of(backbone.state_dict())
    for key, value in sizes.items():
        expected = backbone.arguments[key]
        assert value == (list(expected) if isinstance(expected, tuple) else expected), key


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize(
    'shape, keys', [((9, 3, 6), 'in_features = 5'), ((8, 3, 5), 'T = 9'), ((9, 3, 5, 5), r'\(9, 3')]
)
def test_data_that_do_not_fit(name, shape, keys):
    with pytest.raises(ConfigError, match=keys):
        build(name)[0](torch.randn(shape))


@pytest.mark.parametrize(
    'config, keys',
    [
        (dict(NETWORKS['delays'][0], widths=()), 'widths'),
        (dict(NETWORKS['delays'][0], max_delay=0), 'max_delay.*0'),
        (dict(NETWORKS['delays'][0], norm='group'), "norm.*'group'"),
        (dict(NETWORKS['delays'][0], dropout=1.5), 'dropout.*1.5'),
        (dict(NETWORKS['delays'][0], out_indices=(2,)), 'out_indices.*2'),
        (dict(SPIKFORMER, out_indices=(-4,)), 'out_indices.*-4'),
        (dict(SPIKFORMER, out_indices=(1, 0)), r'out_indices = \(1, 0\)'),
        (dict(SPIKFORMER, out_indices=(2, -1)), r'out_indices = \(2, -1\)'),
        (dict(SPIKFORMER, embed_dims=15), 'embed_dims.*15'),
        (dict(SPIKFORMER, num_heads=3), 'num_heads = 3'),
        (dict(type='CSNN', widths=()), 'widths'),
        (dict(NETWORKS['recurrent'][0], widths=()), 'widths'),
        (dict(NETWORKS['recurrent'][0], out_indices=(-3,)), 'out_indices.*-3'),
        (dict(NETWORKS['recurrent'][0], neuron=dict(type='PSN')), 'PSN'),
    ],
)
def test_wrong_arguments_are_explained(config, keys):
    with pytest.raises(ConfigError, match=keys):
        MODELS.build(config)


@pytest.mark.parametrize('chunk', [1, 3, 64])
def test_causal_attention_step_by_step(chunk):
    q, k, v = (torch.rand(3, 10, 2, 8, dtype=torch.float64) > 0.5).double()
    expected = torch.zeros_like(q)
    for t in range(10):
        for before in range(t + 1):
            for head in (slice(0, 4), slice(4, 8)):
                weight = (q[t, :, head] * k[before, :, head]).sum(-1, keepdim=True)
                expected[t, :, head] += 0.125 * weight * v[before, :, head]
    torch.testing.assert_close(causal_attention(q, k, v, 2, 0.125, chunk), expected)


def test_the_search_of_a_recurrent_layer_sees_the_gradient_through_the_feedback():
    """g of the last but one time step has a share that comes through the recurrent weights, by hand."""
    neuron = dict(type='LIF', tau=2.0, decay_input=False, surrogate=dict(type='TRI', beta=2.0))
    backbone = MODELS.build(
        dict(type='RecurrentSNN', in_features=3, widths=(4,), norm=None, dropout=0.0, neuron=neuron, T=2, time='keep')
    ).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    layer = backbone.layers[0]
    seen = {}
    layer.neuron.neuron.watcher = lambda u, delta: seen.update(u=u, delta=delta)
    weights = torch.randn(2, 5, 4, dtype=torch.float64)
    (backbone.train()(x)[0] * weights).sum().backward()
    u, delta = (seen[key].view(2, 5, 4) for key in ('u', 'delta'))
    z = u - 1
    shape = (1 - z.abs() / 2).clamp(min=0) / 2
    torch.testing.assert_close(delta[1], weights[1] * shape[1])
    g = weights[0] + delta[1] @ layer.neuron.feedback.weight
    kept = 0.5 * (z[0] < 0)
    torch.testing.assert_close(delta[0], g * shape[0] + kept * delta[1])
