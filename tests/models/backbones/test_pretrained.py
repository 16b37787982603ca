"""Backbones load official checkpoint files as they are published, and refuse those of another network."""

import logging
import pickle
from argparse import Namespace
from copy import deepcopy

import pytest
import torch
from safetensors.torch import save_file

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.published import build
from a2sg_zoo.hub.published import save as save_published
from a2sg_zoo.publishing.convert import convert, save
from a2sg_zoo.registry import MODELS
from tests.hub.misbehaving import server  # noqa: F401
from tests.hub.tiny import CLASSIFIER, DESCRIPTIONS
from tests.models.backbones.golden import Golden
from tests.models.backbones.test_golden import CASES

LAYOUTS = {  # as the public training scripts save them
    'timm': lambda state: dict(
        epoch=3,
        arch='spikformer',
        state_dict=state,
        optimizer={},
        version=2,
        args=Namespace(lr=5e-4, model='spikformer'),
        metric=95.1,
    ),
    'parallel': lambda state: dict(state_dict={f'module.{k}': v for k, v in state.items()}),
    'mae': lambda state: dict(model=state, optimizer={}, epoch=199, scaler={}, args=Namespace(blr=6e-4)),
    'plain': lambda state: state,
}


@pytest.fixture(params=['spikformer_cifar_e64_d2_T4', 'spikformer_imagenet_e64_d2_T4', 'meta_spikeformer_e16_T4'])
def case(request, golden_file):
    golden = Golden(golden_file(request.param))
    build, head = CASES[request.param]
    return golden, {**build(golden.kwargs), 'time': 'keep'}, head


@pytest.mark.parametrize('layout', LAYOUTS)
def test_official_files(layout, case, tmp_path):
    golden, config, head = case
    torch.save(LAYOUTS[layout](golden.state_dict), tmp_path / 'official.pth')
    backbone = MODELS.build({**config, 'init_cfg': dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))})
    backbone.init_weights()
    backbone.double().eval()
    output, grad = golden.errors(lambda x: head(golden, backbone, x))
    assert output <= 1e-9 and grad <= 1e-7


def test_own_files(tmp_path):
    config = dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4)
    ours = MODELS.build(config)
    whole = {f'backbone.{k}': v for k, v in ours.state_dict().items()} | {'decode_head.conv.weight': torch.zeros(1)}
    torch.save(dict(state_dict=whole), tmp_path / 'network.pth')
    save_file(ours.state_dict(), tmp_path / 'backbone.safetensors')
    for name in ('network.pth', 'backbone.safetensors'):
        other = MODELS.build({**config, 'init_cfg': dict(type='Pretrained', checkpoint=str(tmp_path / name))})
        other.init_weights()
        assert all(torch.equal(v, ours.state_dict()[k]) for k, v in other.state_dict().items())


def test_a_prefix_chooses_the_weights(tmp_path):
    config = dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4, T=2)
    state, path = MODELS.build(config).state_dict(), tmp_path / 'two.pth'
    student = {f'backbone.{key}': torch.zeros_like(x) for key, x in state.items()}
    torch.save(dict(state_dict=student | {f'teacher.{key}': torch.ones_like(x) for key, x in state.items()}), path)

    def first(**init):
        backbone = MODELS.build({**config, 'init_cfg': dict(type='Pretrained', checkpoint=str(path), **init)})
        backbone.init_weights()
        return next(backbone.parameters()).flatten()[0]

    assert [first(), first(prefix='backbone.'), first(prefix='teacher.'), first(prefix='teacher')] == [0, 0, 1, 1]
    with pytest.raises(CheckpointError, match=r"two.pth.*'nobody\.'"):
        first(prefix='nobody.')
    with pytest.raises(ConfigError, match='prefx'):
        first(prefx='teacher.')


def test_an_address(tmp_path, server, monkeypatch):  # noqa: F811
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))
    config = dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4, T=2)
    saved = MODELS.build(config)
    torch.save(dict(state_dict=saved.state_dict()), tmp_path / 'x.pth')
    server.content = (tmp_path / 'x.pth').read_bytes()
    init = dict(type='Pretrained', checkpoint=server.url.replace('.zip', '.pth'))
    backbone = MODELS.build({**config, 'init_cfg': init})
    backbone.init_weights()
    assert torch.equal(next(backbone.parameters()), next(saved.parameters()))


def test_another_size_is_refused(tmp_path):
    torch.save(
        MODELS.build(dict(type='Spikformer', embed_dims=32, depth=2, num_heads=4)).state_dict(), tmp_path / 'deep.pth'
    )
    backbone = MODELS.build(dict(type='Spikformer', embed_dims=64, depth=1, num_heads=4))
    with pytest.raises(CheckpointError, match='blocks.1') as error:
        backbone.load_pretrained(tmp_path / 'deep.pth')
    assert 'stages.0.project' in str(error.value) and 'deep.pth' in str(error.value)


def test_another_family_is_refused(tmp_path):
    torch.save(
        MODELS.build(dict(type='MetaSpikeFormer', embed_dims=[16, 16, 16, 16], num_heads=4)).state_dict(),
        tmp_path / 'other.pth',
    )
    with pytest.raises(CheckpointError, match='other.pth'):
        MODELS.build(dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4)).load_pretrained(
            tmp_path / 'other.pth'
        )


QKFORMER = dict(type='QKFormer', form='cifar', embed_dims=64, depth=4, num_heads=8)


@pytest.fixture
def warnings(monkeypatch):
    """The warnings that are logged."""
    said = []

    def log(text, logger, level):
        if level >= logging.WARNING:
            said.append(text)

    monkeypatch.setattr('mmengine.logging.print_log', log)
    return said


@pytest.fixture
def official(golden_file, tmp_path):
    """Published weights of QKFormer."""
    golden = Golden(golden_file('qkformer_cifar_e64_d4_T4'))
    torch.save(golden.state_dict, tmp_path / 'official.pth')
    return tmp_path / 'official.pth'


def converted(official):
    save(convert('QKFormer', official, dict(num_heads=8)), official, official.with_suffix('.safetensors'))
    return official.with_suffix('.safetensors')


@pytest.mark.parametrize('made', [lambda path: path, converted], ids=['official', 'converted'])
def test_an_argument_that_no_tensor_tells_is_warned_of(official, made, warnings):
    """The weights fit, and more than half of the outputs differ."""
    path = made(official)
    MODELS.build({**QKFORMER, 'carry_over': True}).load_pretrained(path)
    assert warnings == []
    MODELS.build({**QKFORMER, 'carry_over': False}).load_pretrained(path)
    (text,) = warnings
    assert str(path) in text and 'model.backbone.carry_over=True' in text


def test_heads_that_a_conversion_names(official, warnings):
    MODELS.build({**QKFORMER, 'carry_over': True, 'num_heads': 4}).load_pretrained(converted(official))
    (text,) = warnings
    assert 'model.backbone.num_heads=8' in text and 'num_heads=4' in text


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_arguments_of_a_network_of_ours(tmp_path, suffix, warnings):
    """A checkpoint of a run, and a published file."""
    backbone = CLASSIFIER['backbone']
    model, path = build(CLASSIFIER, 'test'), tmp_path / f'x{suffix}'
    if suffix == '.pth':
        torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=f'model = {CLASSIFIER!r}')), path)
    else:
        save_published(model.state_dict(), DESCRIPTIONS['classification'], path)
    other = dict(T=3, time='mean', recompute=True, out_indices=[0])
    MODELS.build({**backbone, **other}).load_pretrained(path)
    assert warnings == []
    MODELS.build({**backbone, 'num_heads': 4}).load_pretrained(path)
    (text,) = warnings
    assert 'model.backbone.num_heads=2' in text


def test_arguments_of_initial_weights_alone_are_not_warned_of(tmp_path, warnings):
    network = dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4, T=2)
    saved, path = MODELS.build({**network, 'tdbn': True}), tmp_path / 'x.pth'
    config = f'model = {dict(type="SpikingClassifier", backbone={**network, "tdbn": True})!r}'
    weights = {f'backbone.{key}': value for key, value in saved.state_dict().items()}
    torch.save(dict(state_dict=weights, meta=dict(cfg=config)), path)
    other = MODELS.build(network)
    other.load_pretrained(path)
    assert warnings == []
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in other.state_dict().items())


def test_a_larger_network_begins_with_the_stages_of_a_smaller_one(tmp_path, warnings):
    small = dict(type='SpikingResNet9', widths=(4, 8), depths=(1, 1), stem=4, T=2)
    saved = MODELS.build(small).state_dict()
    config = f'model = {dict(type="SpikingClassifier", backbone=small)!r}'
    weights = {f'backbone.{key}': value for key, value in saved.items()}
    torch.save(dict(state_dict=weights, meta=dict(cfg=config)), tmp_path / 'small.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'small.pth'))
    large = dict(small, widths=(4, 8, 8), depths=(1, 1, 0))
    with pytest.raises(CheckpointError, match=r'stages\.2'):
        MODELS.build(dict(large, init_cfg=init)).init_weights()
    other = MODELS.build(dict(large, init_cfg=dict(init, allow_missing=['stages.2.*'])))
    other.init_weights()
    assert warnings == []
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in saved.items())
    with pytest.raises(CheckpointError, match=r'stages\.1'):  # other names must be there
        MODELS.build(dict(large, widths=(4, 4, 8), init_cfg=dict(init, allow_missing=['stages.2.*']))).init_weights()


@pytest.mark.parametrize('meta', [None, 5, dict(cfg=5), dict(cfg='model = 5'), dict(cfg='model = dict(backbone=3)')])
def test_a_file_that_says_nothing_is_no_reason_to_warn(tmp_path, meta, warnings):
    backbone = MODELS.build(CLASSIFIER['backbone'])
    torch.save(dict(state_dict=backbone.state_dict(), meta=meta), tmp_path / 'x.pth')
    backbone.load_pretrained(tmp_path / 'x.pth')
    assert warnings == []


def test_arguments_survive_copies():
    backbone = MODELS.build(CLASSIFIER['backbone'])
    assert backbone.arguments['num_heads'] == 2 and backbone.arguments['T'] == 2
    for copy in (deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert copy.arguments == backbone.arguments and copy.state_dict().keys() == backbone.state_dict().keys()
