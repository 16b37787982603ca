import json
import os
import pickle
import subprocess
import sys

import pytest
import safetensors.torch
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.index import write_index
from a2sg_zoo.models.classifiers import LinearHead
from a2sg_zoo.registry import MODELS
from tests.hub.misbehaving import server  # noqa: F401
from tests.hub.tiny import CLASSES, CLASSIFIER, DESCRIPTIONS, PALETTE, SEGMENTOR, facts, network, publish


@pytest.fixture(params=['classification', 'segmentation'])
def published(request, tmp_path, monkeypatch):
    model, path, index = publish(tmp_path, task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return model, path, index


def rewrite(path, index, weights=None, **metadata):
    """Replaces a published file by one with other weights or metadata, and the index to match."""
    old = json.loads(safetensors.safe_open(path, 'pt').metadata()['a2sg_zoo'])
    metadata = {'a2sg_zoo': json.dumps({**old, **metadata})}
    safetensors.torch.save_file(weights or safetensors.torch.load_file(path), path, metadata)
    write_index({'tiny': facts(path, path.name)}, index)


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
    with pytest.raises(CheckpointError, match='tiny: .* cannot be read: No such file'):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('pretrained', [True, False])
def test_a_device_that_is_not_there(published, pretrained):
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used: "):
        a2sg_zoo.get_model('tiny', pretrained, device='cuda:99')


def test_info(published):
    facts = a2sg_zoo.info('tiny')
    assert facts['name'] == 'tiny' and facts['metrics'] == dict(top1=33.3)
    facts['model'].clear()
    assert a2sg_zoo.info('tiny')['model']
    with pytest.raises(ConfigError, match='did you mean tiny'):
        a2sg_zoo.get_model('tinny')


def test_names_of_the_package():
    assert {'list_models', 'info', 'get_model', 'ImageClassifierInferencer'} <= set(dir(a2sg_zoo))
    with pytest.raises(AttributeError, match='nonsense'):
        a2sg_zoo.nonsense  # noqa: B018


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
        with pytest.raises(CheckpointError, match='not registered .*; nothing of it was run'):
            a2sg_zoo.get_model('tiny')
    assert not (tmp_path / 'trace').exists() and 'evil_module' not in sys.modules
    assert MODELS.get('evil_module') is not None and (tmp_path / 'trace').exists()  # so the trap does work
    del sys.modules['evil_module']


class Trap:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), 'w')


@pytest.mark.parametrize('published', ['segmentation'], indirect=True)
@pytest.mark.parametrize('kind', ['safetensors', 'pth', 'index'])
@pytest.mark.parametrize('nested', [lambda loss: loss, lambda loss: [loss]], ids=['loss', 'losses'])
def test_a_file_that_a_config_names_is_not_unpickled(published, kind, nested, tmp_path, server):  # noqa: F811
    """MMSegmentation's losses load what `class_weight` names, from the web too; the pickle here would leave a trace."""
    model, path, index = published
    trace, trap = tmp_path / 'trace', tmp_path / 'trap.pkl'
    trap.write_bytes(pickle.dumps(Trap(trace)))
    server.content = trap.read_bytes()
    for place in (str(trap), server.url.replace('.zip', '.pkl')):
        loss = nested(dict(type='CrossEntropyLoss', class_weight=place))
        config = dict(SEGMENTOR, decode_head=dict(SEGMENTOR['decode_head'], loss_decode=loss))
        with pytest.raises(CheckpointError, match=r'model\.decode_head\.loss_decode.*\.class_weight = .*; nothing'):
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


@pytest.mark.parametrize('published', ['segmentation'], indirect=True)
@pytest.mark.parametrize(
    'part',
    [
        dict(backbone=dict(type='TIMMBackbone', model_name='resnet18', checkpoint_path='x.pth')),
        dict(
            backbone=dict(
                type='VPD', diffusion_cfg=dict(checkpoint='http://localhost/x.ckpt'), class_embed_path='x.pth'
            )
        ),
        dict(decode_head=dict(SEGMENTOR['decode_head'], loss_decode=dict(type='LovaszLoss', class_weight='x.pkl'))),
        dict(decode_head=dict(SEGMENTOR['decode_head'], norm_cfg=dict(type='mmseg.VPD'))),
        dict(auxiliary_head=[dict(type='SideAdapterCLIPHead')]),
        dict(data_preprocessor=dict(type='VPD')),
        dict(neck=dict(type='Feature2Pyramid')),
    ],
)
def test_what_others_register_is_not_built(published, part):
    _, path, index = published
    rewrite(path, index, model={**SEGMENTOR, **part})
    with pytest.raises(
        CheckpointError,
        match='is not registered in a2sg_zoo.registry, nor one of EncoderDecoder, .*nothing of it was run',
    ):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('published', ['classification'], indirect=True)
def test_a_class_of_ones_own(published, monkeypatch):
    _, path, index = published
    rewrite(path, index, model=dict(CLASSIFIER, head=dict(CLASSIFIER['head'], type='MyHead')))
    with pytest.raises(CheckpointError, match='If it is a class of yours, register it there'):
        a2sg_zoo.get_model('tiny')
    monkeypatch.setitem(MODELS.module_dict, 'MyHead', type('MyHead', (LinearHead,), {}))
    assert type(a2sg_zoo.get_model('tiny').head).__name__ == 'MyHead'


@pytest.mark.parametrize('published', ['classification'], indirect=True)
@pytest.mark.parametrize(
    'change, message',
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
        (dict(model=dict(CLASSIFIER, colour='red')), 'cannot build its network: .*colour'),
        (
            dict(model=dict(CLASSIFIER, backbone=dict(CLASSIFIER['backbone'], T=0))),
            'T, the number of time steps, must be',
        ),
        (dict(model='x'), 'model in its metadata is no dict'),
        (dict(classes=['a']), 'names 1 classes, but .* has 3'),
        (dict(other=1), 'does not tell which network'),
    ],
)
def test_faulty_metadata(published, change, message):
    _, path, index = published
    rewrite(path, index, **change)
    with pytest.raises(CheckpointError, match=message):
        a2sg_zoo.get_model('tiny')


@pytest.mark.parametrize('published', ['classification'], indirect=True)
def test_weights_of_another_network(published):
    _, path, index = published
    weights = safetensors.torch.load_file(path)
    weights['head.layers.0.weight'] = torch.zeros(4, 16)
    rewrite(path, index, weights)
    with pytest.raises(CheckpointError, match='of another shape: head.layers.0.weight'):
        a2sg_zoo.get_model('tiny')


def test_what_half_precision_cannot_hold_is_kept(tmp_path):
    from a2sg_zoo.hub.published import load, save

    model = network()
    model.head.layers[0].weight.data[0, 0] = 1e6
    save(model.state_dict(), DESCRIPTIONS['classification'], tmp_path / 'x.safetensors')
    assert torch.equal(load(tmp_path / 'x.safetensors')[0].head.layers[0].weight, model.head.layers[0].weight)


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
    with pytest.raises(ConfigError, match='did you mean tiny'):
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
