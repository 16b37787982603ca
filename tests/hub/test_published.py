"""Weight files that describe themselves: what is built from them, what is refused, and what never runs."""

import contextlib
import json
import pickle
import sys

import pytest
import safetensors.torch
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.index import write_index
from a2sg_zoo.hub.published import build, load, save
from a2sg_zoo.models.classifiers import LinearHead
from a2sg_zoo.registry import MODELS
from tests.hub.tiny import CLASSES, CLASSIFIER, DESCRIPTIONS, PALETTE, SEGMENTOR, facts, network, publish


@pytest.fixture(params=['classification', 'segmentation'])
def published(request, tmp_path, monkeypatch):
    """(network, path of its published file, path of its index)"""
    model, path, index = publish(tmp_path, task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return model, path, index


def rewrite(path, index, weights=None, **metadata):
    """Replaces a published file by one with other weights or metadata, and the index to match."""
    old = json.loads(safetensors.safe_open(path, 'pt').metadata()['a2sg_zoo'])
    metadata = {'a2sg_zoo': json.dumps({**old, **metadata})}
    safetensors.torch.save_file(weights or safetensors.torch.load_file(path), path, metadata)
    write_index({'tiny': facts(path, path.name)}, index)


@pytest.mark.parametrize('published', ['classification'], indirect=True)
@pytest.mark.parametrize(
    'name', ['os.system', 'subprocess.Popen', 'evil_module', 'evil_module.run', ['Spikformer'], None]
)
def test_a_config_in_a_file_cannot_run_code(published, name, tmp_path, monkeypatch):
    """MMEngine imports the module that an unregistered name names; the file here would leave a trace."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'evil_module.py').write_text(f'open({str(tmp_path / "trace")!r}, "w")\ndef run(**kwargs): pass')
    _, path, index = published
    for model in (dict(CLASSIFIER, type=name), dict(CLASSIFIER, head=dict(CLASSIFIER['head'], loss=dict(type=name)))):
        rewrite(path, index, model=model)
        with pytest.raises(CheckpointError, match=f'(?s){path}.*type'):
            a2sg_zoo.get_model('tiny')
    assert not (tmp_path / 'trace').exists() and 'evil_module' not in sys.modules
    assert MODELS.get('evil_module.run') is not None and (tmp_path / 'trace').exists()  # so the trap does work
    del sys.modules['evil_module']


def places(node, path=()):
    """The paths of all values of a config."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def replaced(node, path, value):
    if not path:
        return value
    copy = node.copy()
    copy[path[0]] = replaced(node[path[0]], path[1:], value)
    return copy


_NEURON = dict(type='LIF', surrogate=dict(type='TRI'))
_SPIKFORMER = dict(CLASSIFIER['backbone'], neuron=_NEURON)


@pytest.mark.parametrize(
    'config',
    [
        dict(CLASSIFIER, encoder=None, backbone=_SPIKFORMER, head=dict(CLASSIFIER['head'], loss=dict(type='TET'))),
        dict(
            SEGMENTOR,
            neck=None,
            auxiliary_head=None,
            decode_head=dict(
                SEGMENTOR['decode_head'],
                loss_decode=[dict(type='DiceLoss')],
                act_cfg=dict(type='ReLU'),
                conv_cfg=None,
                sampler=dict(type='OHEMPixelSampler'),
            ),
        ),
        dict(
            type='SpikingDetector',
            backbone=dict(_SPIKFORMER, out_indices=[-1]),
            neck=dict(type='SpikingFPN', in_channels=[16], out_channels=8, num_outs=1, neuron=_NEURON),
            detection_head=dict(
                type='SpikingRetinaNetHead',
                in_channels=8,
                num_classes=3,
                num_convs=1,
                anchor_sizes=[32],
                neuron=_NEURON,
            ),
        ),
    ],
    ids=['classification', 'segmentation', 'detection'],
)
def test_no_value_of_a_config_is_a_name_to_import(config, tmp_path, monkeypatch):
    """Modules beside a weight file, one of them with the name of a neuron, are not imported."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ('evil_module', 'LIF'):
        (tmp_path / f'{name}.py').write_text(f'open({str(tmp_path / "trace")!r}, "w")')
    with torch.device('meta'):
        build(config, 'file')
    for path in places(config):
        for name in ('evil_module.run', {'type': 'LIF'}):
            with contextlib.suppress(CheckpointError), torch.device('meta'):
                build(replaced(config, path, name), 'file')
            assert not (tmp_path / 'trace').exists(), (path, name)


class Trap:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), 'w')


@pytest.mark.parametrize('published', ['segmentation'], indirect=True)
@pytest.mark.parametrize('kind', ['safetensors', 'pth', 'index'])
@pytest.mark.parametrize('nested', [lambda loss: loss, lambda loss: [loss]], ids=['loss', 'losses'])
def test_a_file_that_a_config_names_is_not_unpickled(published, kind, nested, tmp_path, server):
    """MMSegmentation's losses load what `class_weight` names, from the web too; the pickle here would leave a trace."""
    model, path, index = published
    trace, trap = tmp_path / 'trace', tmp_path / 'trap.pkl'
    trap.write_bytes(pickle.dumps(Trap(trace)))
    server.content = trap.read_bytes()
    for place in (str(trap), server.url.replace('.zip', '.pkl')):
        loss = nested(dict(type='CrossEntropyLoss', class_weight=place))
        config = dict(SEGMENTOR, decode_head=dict(SEGMENTOR['decode_head'], loss_decode=loss))
        with pytest.raises(CheckpointError, match=r'model\.decode_head\.loss_decode.*\.class_weight'):
            if kind == 'index':
                write_index({'tiny': {**facts(path, path.name), 'model': config}}, index)
                a2sg_zoo.get_model('tiny', pretrained=False)
            elif kind == 'safetensors':
                rewrite(path, index, model=config)
                a2sg_zoo.get_model('tiny')
            else:
                text = f'model = {config!r}\ntest_dataloader = dict(dataset=dict(type="ADE20K"))'
                torch.save(
                    dict(
                        state_dict=model.state_dict(),
                        meta=dict(cfg=text, dataset_meta=dict(classes=CLASSES, palette=PALETTE)),
                    ),
                    tmp_path / 'x.pth',
                )
                a2sg_zoo.SegmentationInferencer(tmp_path / 'x.pth', 'cpu')
        assert not trace.exists() and not server.requests
        MODELS.build(dict(type='mmseg.CrossEntropyLoss', class_weight=place))
        assert trace.exists()  # so the trap does work
        trace.unlink()
        server.requests.clear()


_HEAD = SEGMENTOR['decode_head']


@pytest.mark.parametrize('published', ['segmentation'], indirect=True)
@pytest.mark.parametrize(
    'part, key, name',
    [
        (
            dict(backbone=dict(type='TIMMBackbone', model_name='resnet18', checkpoint_path='x.pth')),
            'backbone.type',
            'TIMMBackbone',
        ),
        (
            dict(backbone=dict(type='VPD', diffusion_cfg=dict(checkpoint='http://localhost/x.ckpt'))),
            'backbone.type',
            'VPD',
        ),
        (
            dict(decode_head=dict(_HEAD, loss_decode=dict(type='LovaszLoss', class_weight=[1.0]))),
            'decode_head.loss_decode.type',
            'LovaszLoss',
        ),
        (dict(decode_head=dict(_HEAD, norm_cfg=dict(type='mmseg.VPD'))), 'decode_head.norm_cfg.type', 'mmseg.VPD'),
        (dict(auxiliary_head=[dict(type='SideAdapterCLIPHead')]), 'auxiliary_head', 'SideAdapterCLIPHead'),
        (dict(data_preprocessor=dict(type='VPD')), 'data_preprocessor.type', 'VPD'),
        (dict(neck=dict(type='Feature2Pyramid')), 'neck.type', 'Feature2Pyramid'),
    ],
)
def test_what_others_register_is_not_built(published, part, key, name):
    _, path, index = published
    rewrite(path, index, model={**SEGMENTOR, **part})
    with pytest.raises(CheckpointError, match=f"{path}.*model.{key}.*'{name}'"):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('published', ['classification'], indirect=True)
def test_a_class_of_ones_own(published, monkeypatch):
    _, path, index = published
    rewrite(path, index, model=dict(CLASSIFIER, head=dict(CLASSIFIER['head'], type='MyHead')))
    with pytest.raises(CheckpointError, match='model.head.type.*MyHead'):
        a2sg_zoo.get_model('tiny')
    monkeypatch.setitem(MODELS.module_dict, 'MyHead', type('MyHead', (LinearHead,), {}))
    assert type(a2sg_zoo.get_model('tiny').head).__name__ == 'MyHead'


@pytest.mark.parametrize('published', ['classification'], indirect=True)
@pytest.mark.parametrize(
    'change, key',
    [
        (dict(model=dict(CLASSIFIER, init_cfg=dict(type='Pretrained', checkpoint='x.pth'))), 'model.init_cfg'),
        (
            dict(model=dict(CLASSIFIER, head=dict(CLASSIFIER['head'], init_cfg=[dict(checkpoint='x.pth')]))),
            'model.head.init_cfg',
        ),
        (
            dict(model=dict(CLASSIFIER, backbone=dict(CLASSIFIER['backbone'], pretrained='x.pth'))),
            'model.backbone.pretrained',
        ),
        (dict(model=dict(CLASSIFIER, colour='red')), 'colour'),
        (dict(model=dict(CLASSIFIER, backbone=dict(CLASSIFIER['backbone'], T=0))), 'T'),
        (dict(model='x'), 'model'),
        (dict(classes=['a']), 'classes'),
        (dict(other=1), 'a2sg_zoo with task'),
    ],
)
def test_faulty_metadata(published, change, key):
    _, path, index = published
    rewrite(path, index, **change)
    with pytest.raises(CheckpointError, match=key):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('published', ['classification'], indirect=True)
def test_weights_of_another_network(published):
    _, path, index = published
    weights = safetensors.torch.load_file(path)
    weights['head.layers.0.weight'] = torch.zeros(4, 16)
    rewrite(path, index, weights)
    with pytest.raises(CheckpointError, match='head.layers.0.weight'):
        a2sg_zoo.get_model('tiny')


def test_what_half_precision_cannot_hold_is_kept(tmp_path):
    model = network()
    model.head.layers[0].weight.data[0, 0] = 1e6
    save(model.state_dict(), DESCRIPTIONS['classification'], tmp_path / 'x.safetensors')
    assert torch.equal(load(tmp_path / 'x.safetensors')[0].head.layers[0].weight, model.head.layers[0].weight)
