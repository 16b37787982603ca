import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.registry import MODELS
from tests.hub.misbehaving import server  # noqa: F401
from tests.hub.tiny import CLASSES, DESCRIPTIONS, network, publish


@pytest.fixture(params=['classification', 'segmentation'])
def published(request, tmp_path, monkeypatch):
    model, path, index = publish(tmp_path, task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return model, path, index


def test_the_network_comes_back(published):
    model, path, _ = published
    ours = a2sg_zoo.get_model('tiny')
    assert not ours.training and ours.classes == CLASSES
    stored = safetensors.torch.load_file(path)
    for name, x in model.state_dict().items():
        halved = x.half().float() if x.dim() >= 2 else x
        assert torch.equal(ours.state_dict()[name], halved), name
        assert stored[name].dtype == (torch.half if x.dim() >= 2 else x.dtype)
    model.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(x, mode='tensor'), model(x, mode='tensor'))


def test_without_weights_nothing_is_read(published):
    _, path, _ = published
    path.unlink()
    model = a2sg_zoo.get_model('tiny', pretrained=False)
    assert not model.training and model.backbone.T == 2
    with pytest.raises(CheckpointError, match='tiny.*tiny.safetensors'):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('pretrained', [True, False])
def test_a_device_that_is_not_there(published, pretrained):
    with pytest.raises(ConfigError, match='cuda:99'):
        a2sg_zoo.get_model('tiny', pretrained, device='cuda:99')


def test_info(published):
    facts = a2sg_zoo.info('tiny')
    assert facts['name'] == 'tiny' and facts['metrics'] == dict(top1=33.3)
    facts['model'].clear()
    assert a2sg_zoo.info('tiny')['model']
    with pytest.raises(ConfigError, match='tinny.*tiny'):
        a2sg_zoo.get_model('tinny')


def test_names_of_the_package():
    assert {'list_models', 'info', 'get_model', 'ImageClassifierInferencer'} <= set(dir(a2sg_zoo))
    with pytest.raises(AttributeError, match='nonsense'):
        a2sg_zoo.nonsense  # noqa: B018


def test_a_backbone_is_taken_from_a_classifier(tmp_path, monkeypatch):
    from mmengine.registry import DefaultScope

    model, _, index = publish(tmp_path)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    config = DESCRIPTIONS['segmentation'].model
    config = dict(config, backbone=dict(config['backbone'], init_cfg=dict(type='Pretrained', checkpoint='zoo:tiny')))
    with DefaultScope.overwrite_default_scope('a2sg_zoo'):
        segmentor = MODELS.build(config)
    segmentor.init_weights()
    for name, x in a2sg_zoo.get_model('tiny').backbone.state_dict().items():
        assert torch.equal(segmentor.backbone.state_dict()[name], x), name
    segmentor.backbone.init_cfg['checkpoint'] = 'zoo:tinny'
    with pytest.raises(ConfigError, match='tinny.*tiny'):
        segmentor.backbone.init_weights()


def test_mmengine_loads_by_name(tmp_path, monkeypatch):
    from mmengine.runner import load_checkpoint

    _, _, index = publish(tmp_path)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    model = network()
    load_checkpoint(model, 'zoo:tiny', strict=True)
    assert all(torch.equal(x, model.state_dict()[k]) for k, x in a2sg_zoo.get_model('tiny').state_dict().items())


def test_outside_the_checkout(tmp_path):
    """From another folder, with nothing but the package on the path."""
    _, _, index = publish(tmp_path)
    code = 'import a2sg_zoo, torch; print(a2sg_zoo.get_model(*a2sg_zoo.list_models())(torch.zeros(1, 3, 32, 32)).shape)'
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'a2sg_zoo').symlink_to(os.path.dirname(a2sg_zoo.__file__))
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path / 'site',
        text=True,
        capture_output=True,
        env={**os.environ, 'A2SG_ZOO_INDEX': str(index), 'PYTHONPATH': ''},
    )
    assert done.stdout.splitlines()[-1:] == ['torch.Size([2, 1, 3])'], done.stderr
