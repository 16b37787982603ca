import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from PIL import Image

from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError
from a2sg_zoo.export import Deployed, check, to_nir, to_onnx
from a2sg_zoo.export.check import Row, compare, table
from a2sg_zoo.export.source import load, save
from a2sg_zoo.export.to_nir import to_bytes
from a2sg_zoo.export.to_onnx import facts
from a2sg_zoo.hub import published
from tests.export.networks import classifier, pictures, segmentor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('export', ROOT / 'a2sg_zoo' / 'cli' / 'export.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def folder(tmp_path):
    """Pictures, and weights of a VGG that say which network they are for."""
    for i, x in enumerate(pictures(3, 40, 32, seed=8)):
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(tmp_path / f'{i}.png')
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    published.save(network.state_dict(), description, tmp_path / 'vgg.safetensors')
    return tmp_path


def arguments(folder, kind, *others):
    return [str(folder / 'vgg.safetensors'), '--format', kind, '--out', str(folder / f'vgg.{kind}'), *others]


@pytest.mark.parametrize(
    'kind, packages', [('onnx', ('onnx', 'onnxscript', 'onnxruntime')), ('nir', ('nir', 'nirtorch', 'spikingjelly'))]
)
def test_tool(kind, packages, tool, folder, capsys):
    for package in packages:
        pytest.importorskip(package)
    tool(arguments(folder, kind, '--check', *(str(folder / f'{i}.png') for i in range(3))))
    said, header, *rows = capsys.readouterr().out.splitlines()
    assert said.startswith(f'{folder / f"vgg.{kind}"}: ') and said.endswith('input 3 x 32 x 32, T = 2')
    assert header.split() == ['picture', 'ours', 'exported', 'agreement', 'max', '|difference|']
    for i, row in enumerate(rows):
        picture, ours, theirs, agreement, difference = row.split()
        assert picture.endswith(f'{i}.png') and ours == theirs and agreement == '100.0%' and float(difference) < 1e-4
    before = (folder / f'vgg.{kind}').read_bytes()
    with pytest.raises(SystemExit):
        tool(arguments(folder, kind))
    assert f'vgg.{kind}' in capsys.readouterr().err and (folder / f'vgg.{kind}').read_bytes() == before
    (folder / f'vgg.{kind}').write_text('old')
    tool(arguments(folder, kind, '--force'))
    assert len((folder / f'vgg.{kind}').read_bytes()) > 1000


def test_the_check_sees_other_weights(folder):
    """A file of another network does not pass for this one."""
    pytest.importorskip('onnxruntime'), pytest.importorskip('onnxscript')
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    deployed = Deployed(network, description)
    contents = to_onnx(deployed, 'x')
    sources = [folder / f'{i}.png' for i in range(3)]
    assert all(row.difference < 1e-4 for row in compare(contents, 'onnx', network, deployed, sources))
    with torch.no_grad():
        network.head.layers[-1].weight.neg_()
    rows = compare(contents, 'onnx', network, deployed, sources)
    assert min(row.difference for row in rows) > 0.01 and any(row.agreement == 0 for row in rows)


def test_the_check_refuses_logits_that_are_not_finite(folder):
    """NaN agrees with nothing, although argmax gives the same class for it on both sides."""
    pytest.importorskip('onnxruntime'), pytest.importorskip('onnxscript')
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    good = to_onnx(Deployed(network, description), 'x')
    with torch.no_grad():
        network.head.layers[-1].bias[1] = float('nan')
    deployed = Deployed(network, description)
    with pytest.raises(CheckpointError, match=r'0.png.*1 of 4'):
        compare(good, 'onnx', network, deployed, [folder / '0.png'])
    bad = to_onnx(deployed, 'x')
    with torch.no_grad():
        network.head.layers[-1].bias[1] = 0.0
    with pytest.raises(A2SGError, match=r'1.png.*1 of 4') as error:
        compare(bad, 'onnx', network, Deployed(network, description), [folder / '1.png'])
    assert not isinstance(error.value, CheckpointError)


def test_the_check_of_a_segmentation(folder):
    pytest.importorskip('onnxruntime'), pytest.importorskip('onnxscript')
    network, description = segmentor()
    deployed = Deployed(network, description, (48, 32))
    (row,) = compare(to_onnx(deployed, 'x'), 'onnx', network, deployed, [folder / '0.png'])
    assert row.agreement > 0.99 and row.ours == row.theirs in description.classes


def test_table():
    rows = [Row('a.png', 'ant', 'bee', 0.0, 0.25), Row('long.png', 'cat', 'cat', 1.0, 3e-6)]
    assert table(rows).splitlines() == [
        'picture   ours  exported  agreement  max |difference|',
        'a.png     ant   bee       0.0%       2.5e-01',
        'long.png  cat   cat       100.0%     3.0e-06',
    ]


def test_events_take_no_pictures(folder):
    network, description = classifier('vgg_stride', T=2)
    with pytest.raises(DataError, match='--check'):
        compare(b'', 'onnx', network, Deployed(network, description, (32, 32)), [folder / '0.png'])


def test_grey_pictures_are_no_event_frames(folder, monkeypatch):
    network, description = classifier('vgg_stride', T=2, in_channels=1)
    with pytest.raises(DataError, match='event frames'):
        compare(b'', 'onnx', network, Deployed(network, description, (28, 28)), [])
    network.data_preprocessor = ImgDataPreprocessor([33.0], [78.0])
    deployed = Deployed(network, replace(description, resize=dict(size=28)))
    assert deployed.input_shape == (1, 28, 28) and 'grey' in facts(deployed, 'x')['input']
    monkeypatch.setattr(check, '_onnx', lambda *_: lambda image: deployed(image)[0].detach().numpy())
    (row,) = compare(b'', 'onnx', network, deployed, [folder / '0.png'])
    assert row.agreement == 1 and row.difference < 1e-5


def test_what_spikingjelly_cannot_read():
    """A time constant of one step, and a leak to another potential than the reset's."""
    pytest.importorskip('spikingjelly.activation_based.nir_exchange')
    for neuron in (dict(type='LIF', tau=1.0), dict(type='LIF', decay_input=False, v_reset=-0.5)):
        network, description = classifier('vgg_stride', T=2, in_channels=3, neuron=neuron)
        deployed = Deployed(network, description)
        with pytest.raises(ConfigError, match='SpikingJelly'):
            compare(to_bytes(to_nir(deployed, 'x')), 'nir', network, deployed, [])


@pytest.mark.parametrize(
    'kind, package', [('onnx', 'onnxruntime'), ('nir', 'nir'), ('nir', 'nirtorch'), ('nir', 'spikingjelly')]
)
def test_what_is_missing_is_named(kind, package, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] in (package, 'spikingjelly')]:
        monkeypatch.delitem(sys.modules, name)
    if package == 'nirtorch':
        pytest.importorskip('nir'), pytest.importorskip('spikingjelly')
    elif package == 'spikingjelly':
        pytest.importorskip('nir')
    monkeypatch.setitem(sys.modules, package, None)
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    with pytest.raises(ConfigError, match=rf'\b{package}\b.*pip install "a2sg-zoo\['):
        compare(b'', kind, network, Deployed(network, description), [])


CONFIG = """
model = dict(
    type='SpikingClassifier', data_preprocessor=dict(type='ImgDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3),
    backbone=dict(type='VGGSNN', widths=(4, 8), in_channels=3, T=2, time='keep'),
    head=dict(type='LinearHead', in_channels=8, num_classes=3))
test_dataloader = dict(dataset=dict(type='Digits', size=16))
"""


def test_config_and_checkpoint(tmp_path):
    (tmp_path / 'mine.py').write_text(CONFIG)
    from a2sg_zoo.export import source

    network = published.build(
        dict(
            type='SpikingClassifier',
            backbone=dict(type='VGGSNN', widths=(4, 8), in_channels=3, T=2, time='keep'),
            head=dict(type='LinearHead', in_channels=8, num_classes=3),
        ),
        'test',
    )
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'bare.pth')
    torch.save(
        dict(state_dict=network.state_dict(), meta=dict(dataset_meta=dict(classes=('a', 'b', 'c')))),
        tmp_path / 'named.pth',
    )
    for file, classes in (('bare', ['0', '1', '2']), ('named', ['a', 'b', 'c'])):
        found, description, name = source.load(str(tmp_path / 'mine.py'), tmp_path / f'{file}.pth')
        assert description.classes == classes and description.resize == dict(size=16) and name == 'mine'
        assert torch.equal(found.head.layers[0].weight, network.head.layers[0].weight) and not found.training
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    with pytest.raises(CheckpointError, match='tensor.pth'):
        source.load(str(tmp_path / 'mine.py'), tmp_path / 'tensor.pth')
    with pytest.raises(ConfigError, match='mine.py'):
        load(str(tmp_path / 'mine.py'))


def test_save(tmp_path):
    save(b'new', tmp_path / 'deep' / 'x')
    assert (tmp_path / 'deep' / 'x').read_bytes() == b'new'
    with pytest.raises(ConfigError, match='--force'):
        save(b'newer', tmp_path / 'deep' / 'x')
    save(b'newer', tmp_path / 'deep' / 'x', force=True)
    assert [path.read_bytes() for path in (tmp_path / 'deep').iterdir()] == [b'newer']
