"""Backbones load official checkpoint files as they are published, and refuse those of another network."""

from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.registry import MODELS
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
def case(request, shared):
    golden = Golden(shared('golden', f'{request.param}.safetensors'))
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
