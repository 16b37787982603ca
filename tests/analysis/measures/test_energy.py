"""Operations and energy, against counts by hand and by brute force, and against NeuroBench."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import TimeFolded, encode, spiking_attention
from a2sg_zoo.neurons import IF, ILIF, PSN, Recurrent


class Chain(nn.Module):
    """Applies layers to (T, B, ...), after the first has encoded the image."""

    def __init__(self, *layers, T=3):
        super().__init__()
        self.T, self.layers = T, nn.ModuleList(layers)

    def forward(self, x):
        x = encode(self.layers[0], x, self.T)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((-2, -1))


def folded(conv):
    return TimeFolded(conv)


def layers_of(result):
    return {layer['name']: layer for layer in result['layers']}


def by_hand():
    """Convolution with weights of 1 on 2 x 2 images, IF, 1x1 convolution, IF, mean over space, linear layer."""
    net = Chain(
        folded(nn.Conv2d(1, 2, 1, bias=False)),
        IF(),
        folded(nn.Conv2d(2, 3, 1, bias=False)),
        IF(),
        Mean(),
        nn.Linear(3, 5),
        T=3,
    ).eval()
    with torch.no_grad():
        net.layers[0][0].weight[:] = torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
        net.layers[2][0].weight[:] = 0.25
    return net


def test_counted_by_hand():
    # Currents 1 and 0.5 in the first two pixels, none in the others. An IF neuron (threshold 1, reset to 0) fires at
    # all 3 steps for the one, and only at the second for the other: 2 * (3 + 1) = 8 spikes of 2 * 4 * 3 = 24 possible.
    # The second convolution's current is at most 0.5 a step and 0.25, 0.5, 0.25 in turn: its neurons fire once, at the
    # third step (0.25 + 0.5 + 0.25 = 1): 3 channels * 2 pixels = 6 of 3 * 4 * 3 = 36.
    result = measure_energy(by_hand(), [torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])])
    layers = layers_of(result)
    first, second, last = layers['layers.0.0'], layers['layers.2.0'], layers['layers.5']
    assert (first['macs'], first['steps'], first['input'], first['input_rate']) == (2 * 4, 1, 'real', None)
    assert (first['sops'], first['energy_pj']) == (0, pytest.approx(4.6 * 8))
    assert (second['macs'], second['steps'], second['input']) == (2 * 3 * 4, 3, 'spikes')
    # each spike of the first layer meets 3 weights
    assert second['sops'] == pytest.approx(8 * 3) == second['macs'] * second['input_rate'] * 3
    assert second['energy_pj'] == pytest.approx(0.9 * 24)
    # a mean over space of spikes is real: 15 MACs at each of 3 steps
    assert (last['macs'], last['steps'], last['input'], last['sops']) == (15, 3, 'real', 0)
    assert result['rates'] == {'layers.1': pytest.approx(8 / 24), 'layers.3': pytest.approx(6 / 36)}
    assert result['firing_rate'] == pytest.approx(14 / 60) and result['sparsity'] == pytest.approx(46 / 60)
    assert (result['macs'], result['sops'], result['T']) == (8 + 45, pytest.approx(24), 3)
    assert result['energy_pj'] == pytest.approx(4.6 * 53 + 0.9 * 24)
    assert result['parameters'] == 2 + 6 + 20


@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    transposed=st.booleans(),
)
def test_convolutions_against_brute_force(seed, kernel, stride, groups, transposed):
    """Dense MACs: every pair of an output and an input that a weight joins, the border included. SOPs: those at 1."""
    torch.manual_seed(seed)
    if transposed and kernel < stride:
        return
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    conv = make(4, 6, kernel, stride, groups=groups, bias=False)
    net = Chain(folded(nn.Conv2d(3, 4, 1)), IF(), folded(conv), T=2).eval()
    images = torch.randn(3, 3, 6, 5)
    layer = layers_of(measure_energy(net, [images]))['layers.2.0']
    spikes = net.layers[1](encode(net.layers[0], images, 2))
    ones = make(4, 6, kernel, stride, groups=groups, bias=False)
    nn.init.ones_(ones.weight)
    with torch.no_grad():
        assert layer['macs'] * 2 == float(ones(torch.ones_like(spikes[0])).sum()) / 3 * 2
        if kernel == 1 and stride == 1 or transposed:  # every input value meets as many weights
            assert layer['sops'] == pytest.approx(float(ones(spikes.flatten(0, 1)).sum()) / 3, rel=1e-5)
    assert layer['sops'] == pytest.approx(layer['macs'] * 2 * spikes.mean().item())


class Attention(nn.Module):
    """Spikes from an image, and the product of spiking attention on them."""

    def __init__(self, heads, factors=(1.0, 2.0, 3.0), T=2):
        super().__init__()
        self.T, self.heads, self.factors, self.neuron = T, heads, factors, IF()

    def forward(self, x):
        x = x.unsqueeze(0).expand(self.T, *x.shape)
        q, k, v = (self.neuron(factor * x) for factor in self.factors)
        return spiking_attention(q, k, v, self.heads, 0.125)


@pytest.mark.parametrize('C, N', [(8, 3), (8, 9)])
def test_attention(C, N):
    model, heads, d = Attention(2).eval(), 2, C // 2
    images = torch.rand(4, C, N, 1).squeeze(-1).unsqueeze(1)  # (B, 1, C, N): an image, as far as its shape goes
    model.forward = lambda x, forward=model.forward: forward(x.squeeze(1))
    result = measure_energy(model, [images])
    q, k, v = (model.neuron(f * images.squeeze(1).expand(2, 4, C, N)) for f in model.factors)
    first, second = result['layers']
    # the cheaper order: K^T Q first costs N^2 d a head in each product, V K^T first d^2 N
    cost = heads * (N * N * d if N <= d else d * d * N)
    assert [(x['name'], x['kind'], x['macs'], x['steps']) for x in result['layers']] == [
        ('matmul1', 'matmul', cost, 2),
        ('matmul2', 'matmul', cost, 2),
    ]
    rates = {name: float(x.mean()) for name, x in zip('qkv', (q, k, v))}
    inner = 'kq' if N <= d else 'vk'
    assert first['input_rate'] == pytest.approx(min(rates[name] for name in inner))
    # the product of the first is no spikes, so the other factor's drive the second
    assert second['input_rate'] == pytest.approx(rates['v' if N <= d else 'q'])
    assert result['sops'] == pytest.approx(2 * cost * (first['input_rate'] + second['input_rate']))
    assert result['macs'] == 0


def test_real_factors_multiply():
    model = Attention(1).eval()
    model.neuron = nn.Softplus()
    model.forward = lambda x, forward=model.forward: forward(x.squeeze(1))
    result = measure_energy(model, [torch.rand(2, 1, 4, 3)])
    assert [x['input'] for x in result['layers']] == ['real', 'real']
    assert result['macs'] == 2 * 2 * 3 * 3 * 4 and result['sops'] == 0 and result['firing_rate'] == 0


@pytest.mark.parametrize('levels', [3, 4])
def test_integer_neurons_count_each_of_their_spikes(levels):
    net = Chain(folded(nn.Conv2d(3, 4, 1)), ILIF(levels=levels), folded(nn.Conv2d(4, 5, 1)), T=1).eval()
    net.layers[0][0].weight.data *= 8
    images = torch.randn(2, 3, 8, 8)
    counts = net.layers[1](encode(net.layers[0], images, 1)) * levels
    assert counts.max() == levels and len(counts.unique()) == levels + 1
    result = measure_energy(net, [images])
    second = result['layers'][1]
    assert second['input'] == 'spikes' and second['sops'] == pytest.approx(counts.sum().item() * 5 / 2)
    assert result['firing_rate'] == pytest.approx(counts.mean().item())


def test_the_feedback_of_a_recurrent_layer_counts_and_the_product_of_a_psn_does_not():
    T, B, F = 3, 2, 5

    class Sequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.T, self.project = T, nn.Linear(7, F)
            self.recurrent, self.parallel = Recurrent(dict(type='LIF'), F), PSN(T=T)

        def forward(self, x):
            return self.parallel(self.recurrent(self.project(x)))

    torch.manual_seed(0)
    net, x = Sequences().eval(), 4 * torch.randn(T, B, 7)
    s = net.recurrent(net.project(x))
    found = measure_energy(net, [x])
    layers = {layer['name']: layer for layer in found['layers']}
    assert layers.keys() == {'project', 'recurrent.feedback'}
    feedback = layers['recurrent.feedback']
    # in each time step but the first, each spike of the time step before adds one row of weights
    assert 0 < s[:-1].sum() and feedback['sops'] == pytest.approx(s[:-1].sum().item() * F / B)
    assert feedback['macs'] == F * F and feedback['steps'] == T
    assert found['rates'].keys() == {'recurrent', 'parallel'}
    assert found['rates']['recurrent'] == pytest.approx(s.mean().item())


def test_silence():
    net = by_hand()
    result = measure_energy(net, [torch.zeros(2, 1, 2, 2)])
    assert result['firing_rate'] == 0 and result['sparsity'] == 1 and set(result['rates'].values()) == {0}
    assert layers_of(result)['layers.2.0']['input_rate'] == 0 == result['sops']
    json.dumps(result, allow_nan=False)


def test_real_in_one_batch_is_real_in_all():
    net = by_hand()
    silent, loud = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    last = layers_of(measure_energy(net, [silent, loud, silent]))['layers.5']
    assert (last['input'], last['macs'], last['sops']) == ('real', 15, 0)


class Einsum(Chain):
    def forward(self, x):
        return torch.einsum('tbchw,tbchw->tbc', *[super().forward(x)] * 2)


def test_errors_say_what_to_do():
    image = torch.rand(2, 1, 2, 2)
    with pytest.raises(ConfigError, match='eval'):
        measure_energy(by_hand().train(), [image])
    with pytest.raises(ConfigError, match='batch'):
        measure_energy(by_hand(), [])
    with pytest.raises(ConfigError, match=r'Conv2d.*\bT\b'):
        measure_energy(nn.Conv2d(1, 2, 1).eval(), [image])
    with pytest.raises(ConfigError, match='einsum'):
        measure_energy(Einsum(folded(nn.Conv2d(1, 2, 1))).eval(), [image])
    net = Chain(folded(nn.Conv2d(1, 2, 1)), folded(nn.Conv2d(2, 2, 1)), T=2).eval()
    net.layers[1].forward = lambda x: net.layers[1][0](x[:, :, 0, :1].flatten()[:6].view(3, 2, 1, 1))
    with pytest.raises(ConfigError, match=r'layers\.1\.0'):
        measure_energy(net, [image])


def test_leaves_no_trace():
    for net, images in ((by_hand(), torch.rand(2, 1, 2, 2)), (by_hand(), torch.rand(2, 7, 2, 2))):
        before = {k: v.clone() for k, v in net.state_dict().items()}
        try:
            measure_energy(net, [images])
        except ConfigError:
            assert images.shape[1] == 7
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules()) and net.T == 3
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
