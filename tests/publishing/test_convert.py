"""Published checkpoints, in the layouts in which they are published, become files that the backbones load."""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as safetensors_save

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.publishing.convert import convert, save
from a2sg_zoo.registry import MODELS
from tests.models.backbones.golden import Golden

ROOT = Path(__file__).resolve().parents[2]
TIMM = dict(epoch=3, arch='spikformer', args=argparse.Namespace(lr=5e-4))
LAYOUTS = {
    'timm': lambda weights: {'state_dict': weights, **TIMM},
    'mae': lambda weights: {'model': weights, 'epoch': 1},
    'bare': dict,
    'parallel': lambda weights: {'model': {f'module.{k}': v for k, v in weights.items()}},
}
# golden file: family, what its tensors do not tell, what they tell
GOLDEN = {
    'spikformer_cifar_e64_d2_T4': ('Spikformer', dict(num_heads=8), dict(form='cifar', embed_dims=64, depth=2)),
    'spikformer_imagenet_e64_d2_T4': ('Spikformer', dict(num_heads=8), dict(form='imagenet', mlp_ratio=4)),
    'spikingformer_cifar_e64_d2_T4': ('Spikingformer', dict(num_heads=8, form='cifar'), dict(embed_dims=64, depth=2)),
    'sdt_v1_e64_d2_T4': ('SpikeDrivenTransformer', dict(pooling='0011'), dict(embed_dims=64, depth=2)),
    'meta_spikeformer_e16_T4': ('MetaSpikeFormer', {}, dict(depths=[6, 2], mlp_ratio=4)),
    'e_spikeformer_e16': ('ESpikeFormer', {}, dict(embed_dims=[16, 32, 64, 80])),
    'qkformer_cifar_e64_d4_T4': ('QKFormer', dict(num_heads=8), dict(form='cifar', embed_dims=64, depth=4)),
    'tet_resnet19_w32_T4': ('SpikingResNet', {}, dict(depths=[3, 3, 2], widths=[32, 64, 128], stem=16)),
    'sew_resnet18_w16_T4': ('SEWResNet', {}, dict(depths=[2, 2, 2, 2], block='basic')),
}


def published_vgg(pool='avg'):
    """A published state dict of a small VGGSNN, made by renaming ours."""
    backbone = MODELS.build(dict(type='VGGSNN', widths=(4, 8, 8, 8), pool=pool, T=2))
    weights = {
        name.replace('.project.conv.', '.fwd.module.0.').replace('.project.bn.', '.fwd.module.1.'): x
        for name, x in backbone.state_dict().items()
        if not name.endswith('.beta')
    }
    return backbone, {**weights, 'classifier.module.weight': torch.zeros(10, 8)}


@pytest.mark.parametrize('name', GOLDEN)
def test_published_files_convert(name, golden_file, tmp_path):
    golden = Golden(golden_file(name))
    family, told, inferred = GOLDEN[name]
    source, target = tmp_path / 'official.pth', tmp_path / 'ours.safetensors'
    torch.save(LAYOUTS['timm'](golden.state_dict), source)
    conversion = convert(family, source, told)
    assert inferred.items() <= conversion.config.items()
    assert [official for official, _ in conversion.names] == list(golden.state_dict)
    save(conversion, source, target)
    backbone = MODELS.build({**conversion.config, 'init_cfg': dict(type='Pretrained', checkpoint=str(target))})
    backbone.init_weights()
    for key, value in type(backbone).from_official(golden.state_dict)[0].items():
        assert torch.equal(backbone.state_dict()[key], value)


def test_another_family_is_named(golden_file, tmp_path):
    golden = {name: Golden(golden_file(name)) for name in GOLDEN}
    for name, wrong in zip(GOLDEN, list(GOLDEN)[2:] + list(GOLDEN)[:2]):
        torch.save(golden[name].state_dict, tmp_path / 'official.pth')
        with pytest.raises(CheckpointError, match=f'official.pth.* {GOLDEN[wrong][0]}:.* {GOLDEN[name][0]}$'):
            convert(GOLDEN[wrong][0], tmp_path / 'official.pth', GOLDEN[wrong][1])


def test_a_network_of_spikingjelly(tmp_path):
    """Names that count convolutions: what a tensor is depends on the others."""
    backbone = MODELS.build(dict(type='CSNN', widths=(4, 8, 8), T=2))
    places = {'project.conv': 0, 'project.bn': 1, 'neuron': 2}
    official = {}
    for name, x in backbone.state_dict().items():
        if not name.endswith('.beta'):
            _, stage, rest = name.split('.', 2)
            part, _, last = rest.rpartition('.')
            official[f'conv_fc.{4 * int(stage) + places[part]}.{last}'] = x
    torch.save({**official, 'conv_fc.14.weight': torch.zeros(10, 8)}, tmp_path / 'official.pth')
    conversion = convert('CSNN', tmp_path / 'official.pth')
    assert conversion.config['widths'] == [4, 8, 8] and conversion.names[-1] == ('conv_fc.14.weight', None)
    assert all(torch.equal(x, backbone.state_dict()[name]) for name, x in conversion.weights.items())
    with pytest.raises(CheckpointError, match='CSNN$'):
        convert('SpikingResNet', tmp_path / 'official.pth')


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('pool', ['avg', 'stride'])
def test_layouts(layout, pool, tmp_path):
    backbone, weights = published_vgg(pool)
    torch.save(LAYOUTS[layout](weights), tmp_path / 'official.pth')
    conversion = convert('VGGSNN', tmp_path / 'official.pth')
    assert conversion.config == dict(type='VGGSNN', widths=[4, 8, 8, 8], pool=pool, in_channels=2)
    assert ('classifier.module.weight', None) in conversion.names
    for name, value in conversion.weights.items():
        assert torch.equal(backbone.state_dict()[name], value)


def test_command_line(tmp_path):
    _, weights = published_vgg()
    source, target = tmp_path / 'official.pth', tmp_path / 'ours.safetensors'
    torch.save(LAYOUTS['mae'](weights), source)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, 'tools/convert.py', *map(str, arguments)],
            cwd=ROOT,
            text=True,
            capture_output=True,
            env={'PYTHONPATH': str(ROOT), 'PATH': '/usr/bin:/bin'},
        )

    result = run('VGGSNN', source, target, '--cfg-options', 'T=10')
    assert result.returncode == 0, result.stderr
    *lines, summary = result.stdout.splitlines()
    assert summary.startswith(f'{len(weights) - 1} kept, 1 dropped; ')
    assert [line.split()[0] for line in lines[-len(weights) :]] == list(weights)
    with safe_open(target, 'pt') as file:
        metadata = file.metadata()
    assert metadata['family'] == 'VGGSNN' and json.loads(metadata['config'])['T'] == 10
    assert metadata['source_sha256'] == hashlib.sha256(source.read_bytes()).hexdigest()
    result = run('SEWResNet', source, tmp_path / 'wrong.safetensors')
    assert result.returncode == 2 and 'VGGSNN' in result.stderr and 'Traceback' not in result.stderr
    assert not (tmp_path / 'wrong.safetensors').exists()


def test_the_name_says_what_the_file_is(tmp_path):
    _, weights = published_vgg()
    torch.save(weights, tmp_path / 'official.pth')
    with pytest.raises(ConfigError, match=r'ours.pth.*\.safetensors'):
        save(convert('VGGSNN', tmp_path / 'official.pth'), tmp_path / 'official.pth', tmp_path / 'ours.pth')
    assert not (tmp_path / 'ours.pth').exists()


def test_files_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    _, weights = published_vgg()
    torch.save(weights, tmp_path / 'official.pth')
    save(convert('VGGSNN', '~/official.pth'), '~/official.pth', '~/ours.safetensors')
    assert (tmp_path / 'ours.safetensors').is_file()


@pytest.mark.parametrize('contents', [b'mine', b'', None], ids=['bytes', 'empty', 'weights'])
def test_no_file_of_somebody_else_is_replaced(tmp_path, contents):
    _, weights = published_vgg()
    source, target = tmp_path / 'official.pth', tmp_path / 'ours.safetensors'
    torch.save(weights, source)
    target.write_bytes(safetensors_save({'a': torch.zeros(1)}) if contents is None else contents)
    before = target.read_bytes()
    with pytest.raises(ConfigError, match='ours.safetensors'):
        save(convert('VGGSNN', source), source, target)
    assert target.read_bytes() == before
    target.unlink()
    for _ in range(2):  # a conversion replaces a conversion
        save(convert('VGGSNN', source), source, target)
    (tmp_path / 'folder.safetensors').mkdir()
    with pytest.raises(ConfigError, match='folder.safetensors'):
        save(convert('VGGSNN', source), source, tmp_path / 'folder.safetensors')


def test_the_report_names_what_no_tensor_tells(golden_file, tmp_path, capsys):
    golden = Golden(golden_file('qkformer_cifar_e64_d4_T4'))
    torch.save(golden.state_dict, tmp_path / 'official.pth')
    assert 'carry_over=True' in convert('QKFormer', tmp_path / 'official.pth', dict(num_heads=8)).report()


def test_errors_are_explained(tmp_path):
    path = tmp_path / 'official.pth'
    with pytest.raises(ConfigError, match="Spikformr.*'Spikformer'"):
        convert('Spikformr', path)
    with pytest.raises(ConfigError, match='FPN.*Spikformer'):
        convert('FPN', path)
    with pytest.raises(CheckpointError, match='official.pth'):
        convert('Spikformer', path)
    torch.save({'epoch': 3}, path)
    with pytest.raises(CheckpointError, match='official.pth'):
        convert('Spikformer', path)
    torch.save({'something.weight': torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match='official.pth.*Spikformer'):
        convert('Spikformer', path)
    _, weights = published_vgg()
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match='official.pth.*VGGSNN'):
        convert('VGGSNN', path, dict(widths=[4, 8, 8, 16]))
