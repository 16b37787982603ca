"""Every config file is valid, builds, and takes a training step."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.adaptation import attach
from a2sg_zoo.engine import load_config, validate_config
from a2sg_zoo.engine.launch import check_channels
from a2sg_zoo.registry import HOOKS, MODELS, OPTIM_WRAPPERS, OPTIMIZERS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
METHODS = sorted((ROOT / 'configs' / '_base_' / 'methods').glob('*.py'))
# the same networks, narrow and shallow
SMALL = dict(
    Spikformer={'model.backbone.embed_dims': 32, 'model.backbone.depth': 1, 'model.backbone.num_heads': 4,
                'model.neck.in_channels': [4, 8, 16, 32]},
    MetaSpikeFormer={'model.backbone.embed_dims': [16, 16, 32, 32], 'model.backbone.depths': [1, 1],
                     'model.neck.in_channels': [8, 16, 16, 32]})
HEAD = {'model.neck.out_channels': 8, 'model.decode_head.in_channels': [8] * 4, 'model.decode_head.channels': 8}


def step(cfg):
    """One optimiser step on random images; returns the neurons that the policy works on."""
    init_default_scope('a2sg_zoo')
    model = MODELS.build(cfg.model)
    check_channels(model)
    hook = HOOKS.build(cfg.custom_hooks[0])
    neurons = attach(model, hook.policy)
    optimizer = OPTIMIZERS.build({**cfg.optim_wrapper.optimizer, 'params': model.parameters()})
    wrapper = OPTIM_WRAPPERS.build(dict(type=cfg.optim_wrapper.type, optimizer=optimizer))
    hook.policy.begin(0)
    before = [p.detach().clone() for p in model.parameters()]
    labels = torch.randint(150, (2, 1, 32, 32))
    loss, _ = model.parse_losses(model(torch.rand(2, 3, 32, 32), [
        SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels], mode='loss'))
    wrapper.update_params(loss)
    assert loss.isfinite()
    assert all((a != b).any() for a, b in zip(before, model.parameters()))
    return neurons


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config(path):
    full = load_config(path)
    validate_config(full)
    validate_config(load_config(path, demo=True))
    small = load_config(path, {**SMALL[full.model.backbone.type], **HEAD})
    neurons = step(small)
    adapted = path.stem.rsplit('_', 1)[-1] not in ('tri', 'box', 'asy')
    assert all(len(neuron.beta) == (small.model.backbone.T if adapted else 1) for neuron in neurons.values())


@pytest.mark.parametrize('method', METHODS, ids=lambda path: path.stem)
def test_method(method, tmp_path):
    """Each method goes with each network by one line."""
    path = tmp_path / 'config.py'
    base = ROOT / 'configs' / '_base_'
    parts = ['models/spikformer_8_384_fpn.py', 'datasets/ade20k.py', 'schedules/ade20k_160k.py',
             f'methods/{method.name}', 'default_runtime.py']
    path.write_text(f'_base_ = {[str(base / part) for part in parts]}')
    cfg = load_config(path, {**SMALL['Spikformer'], **HEAD})
    validate_config(cfg)
    step(cfg)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_is_short(path):
    assert len(path.read_text().splitlines()) <= 30
