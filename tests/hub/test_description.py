"""What a file says of itself: its bounds are checked before anything is built."""

import json
import resource

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import a2sg_zoo
from a2sg_zoo.datasets import Digits
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.describing import describe
from a2sg_zoo.hub.description import Description, checked, parse_config, require_bounded
from a2sg_zoo.hub.index import write_index
from a2sg_zoo.hub.published import build, load, read
from a2sg_zoo.registry import DATASETS, MODELS
from tests.hub.tiny import CLASSES, CLASSIFIER, PALETTE, facts, publish


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


# how pictures are resized

RESIZE, CROP = dict(type='torchvision/Resize', size=256), dict(type='torchvision/CenterCrop', size=(224, 224))
SHORTER = dict(shorter=256, crop=224, interpolation=2)


@pytest.mark.parametrize(
    'dataset, resize',
    [
        (dict(type='ImageNet', pipeline=[RESIZE, CROP]), SHORTER),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, interpolation=3), CROP]), dict(shorter=256, crop=224)),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, size=(224, 224))]), dict(size=224)),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, size=(224, 320))]), {}),
        (
            dict(type='ImageNet', pipeline=[dict(RESIZE, size=(224, 224), interpolation=3), CROP]),
            dict(size=224, interpolation=3),
        ),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, size=[256]), dict(CROP, size=[224])]), SHORTER),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, antialias=True, max_size=None), CROP]), SHORTER),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, max_size=300), CROP]), {}),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, interpolation='bilinear'), CROP]), {}),
        (dict(type='ImageNet', pipeline=[CROP, RESIZE]), {}),
        (dict(type='ImageNet', pipeline=[RESIZE, CROP, dict(RESIZE, size=[64, 64])]), {}),
        (dict(type='ImageNet', pipeline=[dict(RESIZE, size=[64, 64]), dict(type='torchvision/GaussianBlur')]), {}),
        (dict(type='CIFAR', pipeline=[dict(type='Mine')]), {}),
        (dict(type='Halves', size=8), dict(size=8)),
        (dict(type='CIFAR', pipeline=[dict(type='ToSequence')]), {}),
        (dict(type='MNIST'), dict(size=28)),
        (dict(type='MNIST', pipeline=[dict(type='ToSequence')]), {}),
        (dict(type='os.path.join'), {}),
    ],
)
def test_how_pictures_of_a_classification_are_resized(dataset, resize, monkeypatch):
    class Halves(Digits):
        pass

    monkeypatch.setitem(DATASETS.module_dict, 'Halves', Halves)
    cfg = dict(model=CLASSIFIER, test_dataloader=dict(dataset=dataset))
    assert describe(cfg, dict(classes=CLASSES), 'test').resize == resize


def resize_of(head, *steps):
    model = dict(CLASSIFIER, **{head: dict(type='Head')})
    cfg = dict(model=model, test_dataloader=dict(dataset=dict(type='COCO', pipeline=steps)))
    return describe(cfg, dict(classes=CLASSES, palette=PALETTE), 'test').resize


def test_how_pictures_of_a_detection_are_resized():
    step = dict(type='torchvision/Resize', size=128, max_size=256, interpolation=3)
    load, pack = dict(type='LoadDetection'), dict(type='PackDetection')
    assert resize_of('detection_head', load, step, pack) == dict(size=128, max_size=256, interpolation=3)
    assert resize_of('detection_head', dict(type='torchvision/Resize', size=[64])) == dict(size=64)
    assert resize_of('detection_head', dict(step, antialias=True)) == resize_of('detection_head', step)
    assert resize_of('detection_head', load, pack) == {}
    with pytest.raises(CheckpointError, match='antialias'):
        resize_of('detection_head', dict(step, antialias=False))
    with pytest.raises(CheckpointError, match='pipeline.*Resize, Resize'):
        resize_of('detection_head', step, step)
    with pytest.raises(CheckpointError, match='size.*64, 96'):
        resize_of('detection_head', dict(type='torchvision/Resize', size=[64, 96]))


@pytest.mark.parametrize(
    'head, step', [('detection_head', 'torchvision/RandomShortestSize'), ('decode_head', 'ResizeToMultiple')]
)
def test_a_step_that_a_prediction_would_not_do(head, step):
    with pytest.raises(CheckpointError, match=f'pipeline.*{step.rpartition("/")[2]}'):
        resize_of(head, dict(type=step))


@pytest.mark.parametrize('number', [7, True, 'bicubic', None])
def test_an_interpolation_that_is_none(number):
    with pytest.raises(CheckpointError, match='resize'):
        checked(Description('classification', CLASSIFIER, CLASSES, dict(size=32, interpolation=number), []), 'test')


# bounds: what a file says is checked before anything is built


@pytest.fixture
def nothing_is_built(monkeypatch):
    """Building a network fails the test."""
    monkeypatch.setattr(MODELS, 'build', lambda *args, **kwargs: pytest.fail('a network was built'))


def with_backbone(**changes):
    return dict(CLASSIFIER, backbone=dict(CLASSIFIER['backbone'], **changes))


def nested(depth):
    node = 1
    for _ in range(depth):
        node = [node]
    return node


@pytest.mark.parametrize('published', ['classification'], indirect=True)
@pytest.mark.parametrize(
    'change, key',
    [
        (dict(model=with_backbone(T=10**9)), 'backbone.T'),
        (dict(model=with_backbone(depth=10**8)), 'backbone.depth'),
        (dict(model=with_backbone(depth=-(10**8))), 'backbone.depth'),
        (dict(model=with_backbone(depth=1e300)), 'backbone.depth'),
        (dict(model=with_backbone(depths=[600, 600])), 'backbone.depths'),
        (dict(model=with_backbone(depths=[[600], [600]])), 'backbone.depths'),
        (dict(model=with_backbone(embed_dims=10**9)), 'backbone.embed_dims'),
        (dict(model=with_backbone(embed_dims=[16, 10**9])), 'backbone.embed_dims'),
        (dict(model=with_backbone(mlp_ratio=10**6)), 'backbone.mlp_ratio'),
        (dict(model=with_backbone(neuron=dict(type='ILIF', levels=10**6))), 'backbone.neuron.levels'),
        (dict(model=with_backbone(anything=10**30)), 'backbone.anything'),
        (dict(model=with_backbone(anything=float('inf'))), 'backbone.anything'),
        (dict(model=with_backbone(anything=float('nan'))), 'backbone.anything'),
        (dict(model=with_backbone(anything='x' * 10**6)), 'backbone.anything'),
        (dict(model=with_backbone(anything=nested(40))), 'backbone.anything'),
        (dict(model=with_backbone(anything=[0] * 200_000)), 'backbone.anything'),
        (dict(model=dict(CLASSIFIER, data_preprocessor=dict(size_divisor=65536))), 'size_divisor'),
        (dict(model=dict(CLASSIFIER, data_preprocessor=dict(test_cfg=dict(size=[9000, 9000])))), 'test_cfg.size'),
        (dict(model=dict(CLASSIFIER, decode_head=dict(feature_strides=[1, 65536]))), 'feature_strides'),
        (dict(model=dict(CLASSIFIER, test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(1, 1)))), 'test_cfg'),
        (dict(model=dict(CLASSIFIER, test_cfg=dict(mode='slide', crop_size=512, stride=0))), 'test_cfg'),
        (dict(model=dict(CLASSIFIER, test_cfg=dict(mode='slide'))), 'test_cfg'),
        (dict(resize=dict(size=20_000)), 'resize.size'),
        (dict(resize=dict(shorter=64, crop=20_000)), 'resize.crop'),
        (dict(resize=dict(size=0)), 'resize'),
        (dict(resize=dict(size=-32)), 'resize'),
        (dict(resize=dict(size='32')), 'resize'),
        (dict(resize=dict(size=True)), 'resize'),
        (dict(resize=dict(size=[32, 32])), 'resize'),
        (dict(resize=dict(scale=[64, 64])), 'resize'),
        (dict(resize=dict(size=32, antialias=True)), 'resize'),
        (dict(resize=dict(size=8000), model=with_backbone(T=500)), 'resize'),
        (dict(resize=[32]), 'resize'),
        (dict(task='detection', resize=dict(size=64, max_size=64), palette=[]), 'resize'),
        (dict(task='segmentation', resize=dict(scale_factor=10**5)), 'resize'),
        (dict(task='segmentation', resize=dict(scale=[20_000, 64])), 'resize.scale'),
        (dict(task='pose'), 'task'),
        (dict(task=3), 'task'),
        (dict(classes=[]), 'classes'),
        (dict(classes=['ant', 'bee', 3]), r'classes\[2\]'),
        (dict(classes=['ant', 'bee', None]), r'classes\[2\]'),
        (dict(classes=['ant', 'bee', '']), r'classes\[2\]'),
        (dict(classes=['ant', 'bee', 'x' * 500]), r'classes\[2\]'),
        (dict(classes=['ant', 'bee', ['cat']]), r'classes\[2\]'),
        (dict(classes={'ant': 1}), 'classes'),
        (dict(task='segmentation', resize={}, palette=[[0, 0, 0]]), 'palette'),
        (dict(task='segmentation', resize={}, palette=[[0, 0, 0], [0, 0], [1, 1, 1]]), r'palette\[1\]'),
        (dict(palette=[[0, 0, 256]]), r'palette\[0\]'),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_asks_for_too_much_is_refused_before_it_is_built(published, change, key, nothing_is_built):
    _, path, index = published
    rewrite(path, index, **change)
    with pytest.raises(CheckpointError, match=f'(?s){path}.*{key}') as error:
        a2sg_zoo.get_model('tiny')
    assert len(str(error.value)) < 600


@pytest.mark.parametrize('published', ['classification'], indirect=True)
@pytest.mark.parametrize(
    'text',
    [
        '[' * 100_000 + ']' * 100_000,
        '{"task": ' * 100_000,
        '"text"',
        '[1]',
        'null',
        '5',
        '{"model": 1e999}',
        '{"n": ' + '9' * 100_000 + '}',
    ],
    ids=lambda text: text[:20],
)
def test_metadata_of_another_shape(published, text, nothing_is_built):
    _, path, index = published
    safetensors.torch.save_file(
        safetensors.torch.load_file(path), path, {'a2sg_zoo': text.encode(errors='replace').decode()}
    )
    write_index({'tiny': facts(path, path.name)}, index)
    with pytest.raises(CheckpointError, match=str(path)):
        a2sg_zoo.get_model('tiny')


CONFIG = 'model = {model!r}\ntest_dataloader = dict(dataset={dataset})\n'


@pytest.mark.parametrize(
    'cfg',
    [
        '-',
        'model = -',
        'model = dict(' * 10_000,
        'model = ' + '-' * 100_000 + '1',
        'model = ' + 'not ' * 100_000 + '1',
        'model = ' + '[' * 150 + ']' * 150,
        'model = ' + '+'.join(['1'] * 50_000),
        'model = {[1]: 2}',
        'model = {**5}',
        'model = dict(**5)',
        'model = {1: 2}',
        'model = 5',
        'model = 0x' + 'f' * 100_000,
        'x' * 10_000_000,
        '\0',
        5,
        None,
        ['model'],
        CONFIG.format(model=CLASSIFIER, dataset='5'),
        CONFIG.format(model=CLASSIFIER, dataset='dict(type=5, pipeline=5)'),
        CONFIG.format(model=CLASSIFIER, dataset='dict(type="CIFAR", pipeline=[5])'),
        CONFIG.format(model=CLASSIFIER, dataset='dict(type="CIFAR", size=20000)'),
        CONFIG.format(model=CLASSIFIER, dataset='dict(type="CIFAR", size="x")'),
        CONFIG.format(model=CLASSIFIER, dataset='dict(pipeline=[])'),
        CONFIG.format(model=CLASSIFIER, dataset='[]'),
        CONFIG.format(model=with_backbone(T=10**9), dataset='dict(type="CIFAR")'),
        CONFIG.format(model=[CLASSIFIER], dataset='dict(type="CIFAR")'),
        'test_dataloader = 3\nmodel = dict(type="SpikingClassifier")',
    ],
    ids=lambda text: str(text)[:40],
)
@pytest.mark.parametrize(
    'meta', [dict(classes=CLASSES, palette=PALETTE), dict(classes=5), dict(classes='abc'), 5, None]
)
def test_a_config_in_a_checkpoint_of_another_shape(cfg, meta, tmp_path, nothing_is_built):
    path = tmp_path / 'x.pth'
    torch.save(dict(state_dict={'a': torch.zeros(1)}, meta=dict(cfg=cfg, dataset_meta=meta)), path)
    with pytest.raises(CheckpointError, match=str(path)) as error:
        read(path)
    assert len(str(error.value)) < 600


def test_a_checkpoint_that_contains_itself(tmp_path, nothing_is_built):
    contents = {'state_dict': {'a': torch.zeros(1)}, 'meta': {}}
    contents['state_dict']['model'] = contents['state_dict']
    contents['meta']['dataset_meta'] = {'classes': [[]]}
    contents['meta']['dataset_meta']['classes'][0].append(contents['meta']['dataset_meta']['classes'])
    contents['meta']['cfg'] = CONFIG.format(model=CLASSIFIER, dataset='dict(type="CIFAR")')
    torch.save(contents, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='classes'):
        read(tmp_path / 'x.pth')


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(['T', 'depth', 'depths', 'size', 'test_cfg', 'mode', 'x']), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_no_config_that_passes_asks_for_much(config):
    """Independent of how the bounds are written: every number in a config that passes is small and finite."""

    def numbers(node, key=None):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from numbers(value, key)
        elif isinstance(node, list):
            for value in node:
                yield from numbers(value, key)
        elif isinstance(node, (int, float)):
            yield key, node

    try:
        require_bounded(config, 'x')
    except CheckpointError:
        return
    for key, number in numbers(config):
        assert abs(number) <= {'T': 4096, 'depth': 1000, 'depths': 1000, 'size': 8192}.get(key, 10**6)


@settings(max_examples=300, deadline=None)
@given(PLAIN, PLAIN, PLAIN, PLAIN)
def test_any_description_is_sound_or_refused(model, classes, resize, palette):
    for task in ('classification', 'segmentation', 3):
        try:
            found = checked(Description(task, model, classes, resize, palette), 'x')
        except CheckpointError:
            continue
        assert all(isinstance(name, str) and name.isprintable() for name in found.classes)


@given(st.text(max_size=8_000))
def test_text_that_is_no_config_gives_nothing_or_plain_data(text):
    assert all(isinstance(name, str) for name in parse_config(text))


@pytest.mark.parametrize('published', ['classification'], indirect=True)
def test_class_names_are_safe_to_print(published):
    _, path, index = published
    rewrite(path, index, classes=['ant\x1b[2J\x07', 'b\u202eee\r\n', 'größe 猫 \u200d'])
    classes = a2sg_zoo.get_model('tiny').classes
    assert classes[0] == r'ant\x1b[2J\x07' and classes[1] == r'b\u202eee\r\n' and classes[2] == 'größe 猫 \u200d'


@pytest.mark.parametrize('kind', ['safetensors', 'pth'])
def test_a_description_larger_than_its_file_takes_no_memory(published, kind, monkeypatch):
    """A few hundred bytes that ask for a terabyte."""
    _, path, index = published
    model = with_backbone(embed_dims=500_000)
    weights = safetensors.torch.load_file(path)
    if kind == 'safetensors':
        rewrite(path, index, model=model, task='classification', resize={}, palette=[])
    else:
        path = path.with_suffix('.pth')
        # of the right shape, by repeating one number
        with torch.device('meta'):
            shapes = {name: x.shape for name, x in build(model, 'x').state_dict().items()}
        weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
        cfg = CONFIG.format(model=model, dataset='dict(type="CIFAR")')
        torch.save(dict(state_dict=weights, meta=dict(cfg=cfg, dataset_meta=dict(classes=CLASSES))), path)
    named = f'{path.stat().st_size:,}' if kind == 'pth' else 'backbone'
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (32 << 30, before[1]))
    try:
        with pytest.raises(CheckpointError, match=f'(?s){path}.*{named}'):
            load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
