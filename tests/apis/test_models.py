"""Networks by name with another number of classes or time steps, and lists of names."""

from dataclasses import replace

import pytest
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.index import write_index
from a2sg_zoo.hub.published import build, load, read, save
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.neurons import named_neurons
from tests.hub.tiny import DESCRIPTIONS, facts, network, publish

# the tensors that depend on the number of classes
LAST_LAYER = {
    'classification': {'head.layers.0.weight', 'head.layers.0.bias'},
    'segmentation': {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'},
}


@pytest.fixture(params=['classification', 'segmentation'])
def task(request, tmp_path, monkeypatch):
    """The task of a network in the index under the name `tiny`, with 3 classes and T = 2."""
    _, _, index = publish(tmp_path, task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return request.param


@pytest.mark.parametrize('make', [a2sg_zoo.get_model, a2sg_zoo.create_model])
def test_another_number_of_classes(task, make):
    before, after = a2sg_zoo.get_model('tiny'), make('tiny', pretrained=True, num_classes=7)
    changed = {k for k, x in before.state_dict().items() if not torch.equal(x, after.state_dict()[k])}
    assert changed == LAST_LAYER[task]
    assert after.training == (make is a2sg_zoo.create_model) and after.classes is None
    outputs = after.eval()(torch.randn(2, 3, 32, 32), mode='tensor')
    assert outputs.shape[2 if task == 'classification' else 1] == 7


def test_the_same_number_of_classes_keeps_the_head(task):
    before, after = a2sg_zoo.get_model('tiny'), a2sg_zoo.create_model('tiny', True, num_classes=3)
    assert after.classes == before.classes
    assert all(torch.equal(x, after.state_dict()[k]) for k, x in before.state_dict().items())


def test_a_new_head_trains(task):
    model = a2sg_zoo.create_model('tiny', True, num_classes=5, T=3)
    assert model.backbone.T == 3
    model.backbone(torch.randn(2, 3, 32, 32))[-1].square().mean().backward()
    if task == 'classification':
        loss = model(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 4]), mode='loss')['loss']
        loss.backward()
        assert model.head.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize('pretrained', [True, False])
def test_without_weights_the_numbers_are_the_same(task, pretrained):
    model = a2sg_zoo.get_model('tiny', pretrained, num_classes=4, T=5)
    assert model.backbone.T == 5 and not model.training and model.classes is None
    head = model.head if task == 'classification' else model.decode_head
    assert head.num_classes == 4


def test_widths_of_other_time_steps_are_the_mean_of_their_layer(tmp_path, monkeypatch):
    model = network()
    for neuron in named_neurons(model).values():
        neuron.set_widths(torch.tensor([0.5, 2.0]))
    save(model.state_dict(), DESCRIPTIONS['classification'], tmp_path / 'tiny.safetensors')
    entry = facts(tmp_path / 'tiny.safetensors', 'tiny.safetensors')
    write_index({'tiny': entry}, tmp_path / 'index.json')
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    longer, x = a2sg_zoo.create_model('tiny', True, T=3), torch.randn(2, 3, 32, 32)
    assert torch.equal(longer.eval()(x), a2sg_zoo.get_model('tiny')(x, T=3))
    for neuron in named_neurons(longer).values():
        assert neuron.beta.tolist() == [1.25] * 3
    longer.train()(x, torch.tensor([0, 1]), mode='loss')['loss'].backward()
    for neuron in named_neurons(a2sg_zoo.get_model('tiny', T=2)).values():
        assert neuron.beta.tolist() == [0.5, 2.0]


def test_parameters_for_each_time_step_are_not_replaced(tmp_path):
    old = DESCRIPTIONS['classification']
    model = dict(old.model, backbone=dict(old.model['backbone'], neuron=dict(type='PSN')))
    path = tmp_path / 'psn.safetensors'
    save(build(model, 'test').state_dict(), replace(old, model=model), path)
    assert load(path, T=2, num_classes=5)[0].head.num_classes == 5
    with pytest.raises(ConfigError, match='T = 3 .*neuron.*T = 2'):
        load(path, T=3)


@pytest.mark.parametrize(
    'name, value',
    [('num_classes', value) for value in (0, 1, -3, 2.0, True, '5', 10**6)]
    + [('T', value) for value in (0, 1.5, 10**4)],
)
@pytest.mark.parametrize('pretrained', [True, False])
def test_a_number_that_does_not_fit(task, name, value, pretrained):
    with pytest.raises(ConfigError, match=f'tiny.*{name}'):
        a2sg_zoo.create_model('tiny', pretrained, **{name: value})


def test_class_weights_of_a_loss_are_left_out(tmp_path, monkeypatch):
    description = DESCRIPTIONS['segmentation']
    head = dict(
        description.model['decode_head'],
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0], avg_non_ignore=True),
    )
    model = dict(description.model, decode_head=head)
    path = tmp_path / 'weighted.safetensors'
    save(build(model, 'test').state_dict(), type(description)(**{**vars(description), 'model': model}), path)
    entry = {**facts(path, path.name, 'segmentation'), 'model': model}
    write_index({'weighted': entry}, tmp_path / 'index.json')
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    assert a2sg_zoo.get_model('weighted').decode_head.loss_decode.class_weight == [1.0, 2.0, 3.0]
    assert a2sg_zoo.get_model('weighted', num_classes=5).decode_head.loss_decode.class_weight is None


def test_a_head_of_another_size_than_the_description_is_refused(task, tmp_path):
    """Only what the user asks for is replaced: a file that does not fit itself is still an error."""
    description = read(tmp_path / 'tiny.safetensors')[1]
    part = 'head' if task == 'classification' else 'decode_head'
    wider = dict(description.model, **{part: dict(description.model[part], num_classes=9)})
    weights = build(wider, 'test').state_dict()
    save(weights, description, tmp_path / 'tiny.safetensors')
    entry = facts(tmp_path / 'tiny.safetensors', 'tiny.safetensors', task)
    write_index({'tiny': entry}, tmp_path / 'index.json')
    with pytest.raises(CheckpointError, match='tiny.safetensors'):
        a2sg_zoo.get_model('tiny', num_classes=9)


def test_a_network_of_a_shipped_config():
    model = a2sg_zoo.create_model('resnet_small_digits', num_classes=4, T=2)
    assert model.training and model.classes is None
    assert model.eval()(torch.zeros(1, 3, 8, 8)).shape == (2, 1, 4)
    assert model.data_preprocessor.mean.flatten().tolist() == [78.0] * 3


def test_a_network_of_a_shipped_config_has_the_initial_weights_of_the_config(capfd, monkeypatch):
    head = a2sg_zoo.create_model('resnet19_w16_cifar10').head.layers
    assert head[0].weight.std().item() == pytest.approx(0.2, rel=0.05)
    assert capfd.readouterr() == ('', '')
    # those of a file are left to the training
    monkeypatch.delattr(SpikingBackbone, 'load_pretrained')
    a2sg_zoo.create_model('resnet9_hybrid_cifar10')


def test_a_config_without_weights_of_its_name():
    with pytest.raises(ConfigError, match='resnet_small_digits.*resnet_small_digits_tri'):
        a2sg_zoo.create_model('resnet_small_digits', pretrained=True)
    with pytest.raises(ConfigError, match='vggsnn_cifar10dvs.*pretrained'):
        a2sg_zoo.create_model('vggsnn_cifar10dvs', pretrained=True)


def test_neighbours_of_an_unknown_name():
    with pytest.raises(ConfigError, match='resnet_smal_digits.*resnet_small_digits'):
        a2sg_zoo.create_model('resnet_smal_digits')
    with pytest.raises(ConfigError, match='resnet_smal_digits.*resnet_small_digits_tri'):
        a2sg_zoo.get_model('resnet_smal_digits', num_classes=3)


def test_lists():
    every = a2sg_zoo.list_models()
    assert every == a2sg_zoo.list_models(['*']) and len(every) >= 4
    tasks = [set(a2sg_zoo.list_models(task=task)) for task in ('classification', 'segmentation', 'language')]
    assert set().union(*tasks) == set(every) and sum(map(len, tasks)) == len(every)
    assert a2sg_zoo.list_models(['RESNET1*', '*camvid*'], exclude=['*small*', '*t9_*']) == ['resnet19_w16_cifar10_tri']
    configs = a2sg_zoo.list_models('resnet*', exclude=['*cifar*'], pretrained=False)
    assert configs == ['resnet9_camvid', 'resnet_small_digits']
    with pytest.raises(ConfigError, match='task.*pose'):
        a2sg_zoo.list_models(task='pose')
    with pytest.raises(ConfigError, match='task'):
        a2sg_zoo.list_models(task='segmentation', pretrained=False)
