"""Spiking heads of detectors: with ReLUs in place of neurons they are the plain heads, which are torchvision's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models.detection.image_list import ImageList

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.apis.inference import inferencer
from a2sg_zoo.engine.build import check_channels
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.published import Description, build, load, save
from a2sg_zoo.models.detectors import FCOSHead, RetinaNetHead, SpikingFCOSHead, SpikingRetinaNetHead
from a2sg_zoo.models.detectors.spiking_heads import SharedConv
from a2sg_zoo.neurons import Neuron, named_neurons
from a2sg_zoo.registry import MODELS
from tests.models.detectors.test_detector import CHANNELS, CLASSES, SIZE, data, targets

T = 3
HEADS = {
    'SpikingRetinaNetHead': (SpikingRetinaNetHead, RetinaNetHead, dict(anchor_sizes=[12, 24, 48])),
    'SpikingFCOSHead': (SpikingFCOSHead, FCOSHead, dict(strides=[8, 16, 32])),
}
BATCH = ImageList(torch.zeros(2, 3, SIZE, SIZE), [(SIZE, SIZE)] * 2)


def config(head, **arguments):
    return dict(
        type='SpikingDetector',
        data_preprocessor=dict(type='ImgDataPreprocessor', mean=[127.0] * 3, std=[64.0] * 3, pad_size_divisor=32),
        backbone=dict(
            type='MetaSpikeFormer',
            embed_dims=[8, 16, 16, 24],
            depths=[1, 1],
            num_heads=2,
            T=T,
            out_indices=(1, 2, 4),
            time='keep',
        ),
        neck=dict(type='SpikingFPN', in_channels=[8, 16, 24], out_channels=8),
        detection_head=dict(type=head, in_channels=8, num_classes=CLASSES, num_convs=2, **HEADS[head][2], **arguments),
    )


def with_relus(module):
    for name, child in list(module.named_children()):
        if isinstance(child, Neuron):
            setattr(module, name, nn.ReLU())
        with_relus(child)


def convs_of(branch):
    return [module for module in branch.conv.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize('name', HEADS)
def test_with_relus_and_one_time_step_it_is_the_plain_head(name):
    kind, plain, arguments = HEADS[name]
    torch.manual_seed(0)
    reference = plain(CHANNELS, CLASSES, score_thresh=0, **arguments).double()
    for branch in (reference.head.classification_head, reference.head.regression_head):
        for i, layer in enumerate(branch.conv):
            if isinstance(layer, nn.GroupNorm):
                branch.conv[i] = nn.Identity()
        for conv in convs_of(branch):
            nn.init.normal_(conv.weight, std=0.1)
            nn.init.normal_(conv.bias)
    own = kind(CHANNELS, CLASSES, score_thresh=0, **arguments).double().eval()
    with_relus(own)
    for branch in ('classification_head', 'regression_head'):
        ours, theirs = getattr(own.head, branch), getattr(reference.head, branch)
        for shared, conv in zip(ours.convs, convs_of(theirs), strict=True):
            shared.conv[0].weight.data.copy_(conv.weight.data)
            bn = shared.bn[0]  # x + bias
            bn.running_var.fill_(1 - bn.eps)
            bn.bias.data.copy_(conv.bias.data)
        last = {key: x for key, x in theirs.state_dict().items() if not key.startswith('conv.')}
        ours.last.load_state_dict(last)

    levels = [torch.rand(2, CHANNELS, s, s, dtype=torch.double) for s in (8, 4, 2)]
    timed = [x[None] for x in levels]
    losses, expected = own(timed, BATCH, targets()), reference(levels, BATCH, targets())
    assert losses.keys() == expected.keys()
    torch.testing.assert_close([*losses.values()], [*expected.values()])
    assert sum(losses.values()) > 0
    with torch.no_grad():
        for a, b in zip(own(timed, BATCH), reference(levels, BATCH), strict=True):
            assert len(a['boxes']) > 10
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('name', HEADS)
def test_convolutions_take_spikes_and_the_last_layers_rates(name):
    kind, _, arguments = HEADS[name]
    torch.manual_seed(0)
    head, seen = kind(8, CLASSES, num_convs=2, **arguments).train(), {}
    for key, module in head.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, y, key=key: seen.setdefault(key, []).append(args[0]))
    head([2 * torch.randn(T, 2, 8, s, s) for s in (8, 4, 2)], BATCH)
    for key, inputs in seen.items():
        assert len(inputs) == 3  # levels
        x = torch.cat([level.flatten() for level in inputs])
        last = '.last.' in key
        assert inputs[0].shape == (2 if last else 2 * T, 8, 8, 8)
        torch.testing.assert_close((x * T).round() / T if last else x.round(), x)
        assert 0 <= x.min() and x.max() <= 1 and x.any()
        assert last or len(x.unique()) == 2
    assert len(seen) == {'SpikingRetinaNetHead': 6, 'SpikingFCOSHead': 7}[name]


def test_levels_are_normalised_and_fire_together():
    """As pixels of one picture: the reference lays them side by side."""
    torch.manual_seed(0)
    layer = SharedConv(4, dict(type='LIF')).double().train()
    levels = [torch.randn(T, 2, 4, s, s, dtype=torch.double) for s in (6, 3)]
    calls = []
    layer.neuron.register_forward_hook(lambda *_: calls.append(1))
    large, small = layer(levels)
    currents = [layer.conv(x).flatten(3) for x in levels]
    u = torch.cat(currents, 3).transpose(2, 3)
    u = (u - u.mean((0, 1, 2))) / (u.var((0, 1, 2), correction=0) + layer.bn[0].eps).sqrt()
    expected = layer.neuron(u.transpose(2, 3))
    assert large.shape == levels[0].shape and small.shape == levels[1].shape
    torch.testing.assert_close(torch.cat([large.flatten(3), small.flatten(3)], 3), expected)
    assert len(calls) == 2  # one of them here


@pytest.mark.parametrize('name', HEADS)
def test_every_parameter_learns_and_every_neuron_is_adapted(name):
    torch.manual_seed(0)
    model = build(config(name), 'test').train()
    check_channels(model)
    policy = A2SG()
    neurons = attach(model, policy)
    policy.begin(0)
    losses = model(**model.data_preprocessor(data(), True), mode='loss')
    sum(losses.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    assert sum(key.startswith('detection_head.') for key in neurons) == 5
    assert all(neuron.beta.shape == (T,) for neuron in neurons.values())
    assert len(set(neurons['detection_head.neuron'].beta.tolist())) > 1


@pytest.mark.parametrize('name', HEADS)
def test_is_published_and_finds_things_in_a_picture(name, tmp_path):
    torch.manual_seed(0)
    network = config(name, neuron=dict(type='PSN'), score_thresh=0.0)
    model = build(network, 'test')
    assert all(len(p) == T for n in named_neurons(model.detection_head).values() for p in n.parameters())
    pipeline = dict(size=SIZE, max_size=2 * SIZE)
    description = Description('detection', network, ['a', 'b', 'c'], pipeline, [[9, 9, 9]] * 3)
    save(model.state_dict(), description, tmp_path / 'network.safetensors')
    again, _ = load(tmp_path / 'network.safetensors')
    with torch.no_grad():
        (found,) = again(torch.rand(1, 3, SIZE, SIZE))
    assert len(found['boxes']) > 0 and found['labels'].max() < CLASSES
    Image.fromarray(np.random.default_rng(0).integers(256, size=(48, 56, 3), dtype=np.uint8)).save(tmp_path / 'x.png')
    infer = inferencer(tmp_path / 'network.safetensors')
    infer.score = 0.0
    (found,) = infer(str(tmp_path / 'x.png'))['predictions']
    assert found['objects']


def test_energy_counts_spikes_in_the_head():
    torch.manual_seed(0)
    model, images = build(config('SpikingRetinaNetHead'), 'test').train(), torch.rand(2, 3, SIZE, SIZE)
    for norm in model.modules():
        norm.momentum = None  # so that the statistics are those of the picture, and neurons fire
    for _ in range(4):
        model(images)
    found = measure_energy(model.eval(), [images])
    head = [row for row in found['layers'] if row['name'].startswith('detection_head.')]
    assert [row['steps'] for row in head] == [T, T, 1] * 2
    for row in head:
        assert row['input'] == ('spikes' if row['steps'] == T else 'real')
        assert row['energy_pj'] > 0


@pytest.mark.parametrize('name', HEADS)
def test_parts_that_do_not_go_together(name):
    wrong = config(name)
    wrong['backbone']['time'] = 'mean'
    with pytest.raises(ConfigError, match='model.backbone.time'):
        MODELS.build(wrong)
    wrong = config(name)
    wrong['neck']['type'] = 'FeaturePyramid'
    with pytest.raises(ConfigError, match='FeaturePyramid.*model.backbone.time'):
        MODELS.build(wrong)
    kind, _, arguments = HEADS[name]
    with pytest.raises(ConfigError, match=r'\(2, 8, 4, 4\)'):
        kind(8, CLASSES, **arguments)([torch.rand(2, 8, 4, 4)] * 3, BATCH)
    with pytest.raises(ConfigError, match='num_convs'):
        kind(8, CLASSES, num_convs=0, **arguments)


def test_a_group_norm_is_refused():
    with pytest.raises(ConfigError, match='norm_groups'):
        SpikingRetinaNetHead(8, CLASSES, norm_groups=4)
