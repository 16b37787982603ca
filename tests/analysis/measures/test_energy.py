"""Operations and energy, against counts by hand and by brute force, and against NeuroBench."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from torch import nn

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.models.layers import TimeFolded, encode, spiking_attention
from a2sg_zoo.neurons import IF, ILIF, PSN, Recurrent
from a2sg_zoo.registry import MODELS

BACKBONES = [
    dict(type='SpikingResNet', depths=(1, 1), widths=(8, 16), stem=8),
    dict(type='SEWResNet', widths=(8, 8, 8, 8)),
    dict(type='VGGSNN', in_channels=3, widths=(8, 8, 8, 8)),
    dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4, form='cifar'),
    dict(type='Spikingformer', embed_dims=32, depth=1, num_heads=4),
    dict(type='SpikeDrivenTransformer', embed_dims=32, depth=1),
    dict(type='QKFormer', embed_dims=32, depth=3, num_heads=4, form='cifar'),
    dict(type='MetaSpikeFormer', embed_dims=(8, 16, 32, 32), depths=(1, 1)),
    dict(type='ESpikeFormer', embed_dims=(8, 16, 32, 32), depths=(1, 1)),
]


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


def lively(model):
    """The model with spikes all the way."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.constant_(module.bias, 0.6)
    return model


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


def test_batches_of_any_size():
    model = MODELS.build(BACKBONES[0]).eval()
    images = torch.randn(5, 3, 16, 16)
    whole, parts = (measure_energy(model, batches) for batches in ([images], images.split(3)))
    assert whole.pop('rates') == pytest.approx(parts.pop('rates'))
    for a, b in zip(whole.pop('layers'), parts.pop('layers')):
        assert a == {key: value if isinstance(value, str) else pytest.approx(value) for key, value in b.items()}
    assert whole == pytest.approx(parts)


def test_frames_run_at_every_step():
    model = MODELS.build(dict(BACKBONES[2], in_channels=2, T=3)).eval()
    still, frames = torch.randn(2, 2, 16, 16), torch.randn(3, 2, 2, 16, 16)
    first = [measure_energy(model, [x])['layers'][0] for x in (still, frames)]
    assert [(x['steps'], x['input']) for x in first] == [(1, 'real'), (3, 'real')]
    assert first[0]['macs'] == first[1]['macs']
    counts = measure_energy(model, [frames.abs().round()])['layers'][0]
    assert counts['input'] == 'spikes' and counts['input_rate'] == pytest.approx(float(frames.abs().round().mean()))


def test_whole_numbers_in_an_image_are_no_spikes():
    model = MODELS.build(BACKBONES[0]).eval()
    assert measure_energy(model, [torch.ones(2, 3, 16, 16)])['layers'][0]['input'] == 'real'


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


def test_sums_of_spikes_count_each_and_averages_multiply():
    for connect, largest in (('ADD', 3), ('IAND', 1)):
        model = MODELS.build(dict(BACKBONES[1], connect=connect)).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.bias, 1.5)
        inner = measure_energy(model, [torch.randn(2, 3, 32, 32)])['layers'][1:]
        assert {x['input'] for x in inner} == {'spikes'}
        assert max(x['input_rate'] for x in inner) <= largest
        assert (max(x['input_rate'] for x in inner) > 1) == (connect == 'ADD')
    model = MODELS.build(BACKBONES[2]).eval()
    layers = layers_of(measure_energy(model, [3 * torch.randn(2, 3, 16, 16)]))
    assert layers['features.1.project.conv']['input'] == 'spikes'
    assert layers['features.3.project.conv']['input'] == 'real'  # after average pooling
    assert layers['features.3.project.conv']['energy_pj'] == 4.6 * 4 * layers['features.3.project.conv']['macs']


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


@pytest.mark.parametrize('config', BACKBONES, ids=lambda config: config['type'])
def test_every_family(config):
    model = lively(MODELS.build(config).eval())
    result = measure_energy(model, [torch.randn(2, 3, 32, 32)])
    json.dumps(result, allow_nan=False)
    layers, T = result['layers'], result['T']
    assert T == model.T and result['parameters'] == sum(p.numel() for p in model.parameters())
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    assert len([x for x in layers if x['kind'] != 'matmul']) == len(weighted)
    assert layers[0]['input'] == 'real' and layers[0]['steps'] == 1 and {x['steps'] for x in layers[1:]} == {T}
    for x in layers:
        assert x['energy_pj'] == pytest.approx(
            4.6 * x['macs'] * x['steps'] if x['input'] == 'real' else 0.9 * x['macs'] * x['steps'] * x['input_rate']
        )
    assert (
        result['energy_pj']
        == pytest.approx(sum(x['energy_pj'] for x in layers))
        == pytest.approx(4.6 * result['macs'] + 0.9 * result['sops'])
    )
    assert 0 < result['firing_rate'] and 0 < result['sparsity'] < 1


def test_classifier_runs_its_test_time_steps():
    model = SpikingClassifier(
        dict(type='Spikformer', form='cifar', embed_dims=32, depth=1, num_heads=4, T=3, time='keep'),
        dict(type='LinearHead', in_channels=32, num_classes=5),
        test_cfg=dict(T=2),
    ).eval()
    result = measure_energy(model, [torch.randn(2, 3, 16, 16)])
    assert result['T'] == 2 and {x['steps'] for x in result['layers'][1:]} == {2} and model.backbone.T == 3
    head = result['layers'][-1]
    assert (head['name'], head['kind'], head['macs']) == ('head.layers.0', 'Linear', 32 * 5)


def test_segmentor():
    init_default_scope('a2sg_zoo')
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=16),
            backbone=dict(
                type='Spikformer', embed_dims=32, depth=1, num_heads=4, T=2, out_indices=(0, 1, 2, 3), time='keep'
            ),
            neck=dict(type='SpikingFPN', in_channels=[4, 8, 16, 32], out_channels=8),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
            decode_head=dict(
                type='SpikingFPNHead',
                in_channels=[8] * 4,
                in_index=[0, 1, 2, 3],
                channels=8,
                num_classes=5,
                feature_strides=[2, 4, 8, 16],
                align_corners=False,
            ),
        )
    ).eval()
    layers = measure_energy(lively(model), [torch.rand(1, 3, 64, 64)])['layers']
    assert layers[0]['steps'] == 1 and layers[-1]['name'] == 'decode_head.conv_seg'
    # after the mean over time
    assert (layers[-1]['steps'], layers[-1]['input'], layers[-1]['macs']) == (1, 'real', 8 * 5 * 32 * 32)
    assert {x['steps'] for x in layers[1:-1]} == {2}


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


def test_event_frames_of_a_classifier_have_the_batch_first():
    model = MODELS.build(
        dict(
            type='SpikingClassifier',
            backbone=dict(type='VGGSNN', widths=(8,) * 4, T=3, time='keep'),
            head=dict(type='LinearHead', in_channels=8, num_classes=5),
        )
    ).eval()
    frames = torch.rand(2, 3, 2, 12, 12)
    whole, backbone = measure_energy(model, [frames]), measure_energy(model.backbone, [frames.transpose(0, 1)])
    assert whole['layers'][0] == {**backbone['layers'][0], 'name': f'backbone.{backbone["layers"][0]["name"]}'}
    assert whole['rates'].keys() == {f'backbone.{name}' for name in backbone['rates']}


@pytest.mark.parametrize('max_delay', [None, 4])
def test_a_synapse_with_a_delay_costs_as_much_as_one_without(max_delay):
    model = MODELS.build(
        dict(
            type='SpikingClassifier',
            backbone=dict(type='DelaySNN', in_features=5, widths=(8, 6), max_delay=4, T=9, time='keep'),
            head=dict(type='ReadoutHead', in_channels=6, num_classes=3, max_delay=max_delay),
        )
    ).eval()
    spikes = (torch.rand(2, 9, 5) > 0.5).float()
    found = measure_energy(model, [spikes])
    layers = {layer['name']: layer for layer in found['layers']}
    assert {name: layer['macs'] * layer['steps'] for name, layer in layers.items()} == {
        'backbone.layers.0.delay': 9 * 5 * 8,
        'backbone.layers.1.delay': 9 * 8 * 6,
        'head.linear': 9 * 6 * 3,
    }
    assert layers['backbone.layers.0.delay']['sops'] == pytest.approx(9 * 5 * 8 * spikes.mean().item())


@pytest.mark.parametrize(
    'config',
    [dict(type='RecurrentSNN', widths=(6,)), dict(type='SequenceSpikformer', embed_dims=8, depth=1, num_heads=2)],
    ids=['recurrent', 'spikformer'],
)
def test_other_networks_for_sequences(config):
    model = MODELS.build(
        dict(
            type='SpikingClassifier',
            backbone=dict(config, in_features=5, T=9, time='keep'),
            head=dict(type='ReadoutHead', in_channels=config.get('embed_dims', 6), num_classes=3),
        )
    ).eval()
    found = measure_energy(model, [(torch.rand(2, 9, 5) > 0.5).float()])
    assert found['layers'][0]['macs'] * found['layers'][0]['steps'] == 9 * 5 * (6 if 'widths' in config else 4 * 3)


def test_batches_may_come_through_the_preprocessor_of_the_network():
    """A benchmark passes a generator, so the preprocessor runs while the network is watched."""
    model = MODELS.build(
        dict(
            type='SpikingClassifier',
            backbone=dict(type='CSNN', widths=(4,), T=3, time='keep'),
            head=dict(type='LinearHead', in_channels=4, num_classes=5),
            data_preprocessor=dict(type='BaseDataPreprocessor'),
        )
    ).eval()
    frames = torch.rand(2, 3, 2, 8, 8)
    found = measure_energy(model, (model.data_preprocessor(dict(inputs=x))['inputs'] for x in [frames]))
    assert found['layers'] == measure_energy(model, [frames])['layers']
