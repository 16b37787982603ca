"""Operations and energy of the networks of the zoo; `test_energy.py` counts small ones by hand."""

import json

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.registry import MODELS
from tests.analysis.measures.test_energy import layers_of

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


def lively(model):
    """The model with spikes all the way."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.constant_(module.bias, 0.6)
    return model


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
    model.test_T = 2
    short, backbone = measure_energy(model, [frames]), measure_energy(model.backbone, [frames.transpose(0, 1)])
    assert short['T'] == short['layers'][0]['steps'] == 2 and backbone['T'] == 3
    model.backbone.T = 2
    assert measure_energy(model, [frames[:, :2]]) == short


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
