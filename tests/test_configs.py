"""Every config of the zoo: it is valid, and its network trains for a step."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.adaptation import attach
from a2sg_zoo.engine.build import check_channels, check_classes
from a2sg_zoo.engine.config import load_config, validate_config
from a2sg_zoo.hub.published import build, describe
from a2sg_zoo.registry import DATASETS, HOOKS, MODELS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
METHODS = sorted((ROOT / 'configs' / '_base_' / 'methods').glob('*.py'))
# each backbone so small that a step takes a moment: overrides, and the channels of its four stages
SMALL = dict(
    Spikformer=(dict(embed_dims=32, depth=1, num_heads=4), [4, 8, 16, 32]),
    MetaSpikeFormer=(dict(embed_dims=[8, 16, 32, 40], depths=[1, 1], num_heads=4), [4, 8, 16, 40]),
    ESpikeFormer=(dict(embed_dims=[8, 16, 32, 40], depths=[1, 1], num_heads=4), [4, 8, 16, 40]),
    SpikeDrivenTransformer=(dict(embed_dims=32, depth=1), [4, 8, 16, 32]),
    QKFormer=(dict(embed_dims=32, depth=4, num_heads=4), [8, 16, 32]),
    SEWResNet=(dict(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16)), [8, 8, 16, 16]),
    SpikingResNet=(dict(stem=8), None),
    VGGSNN=(dict(widths=(8,) * 8), [8] * 4),
)


def shrink(cfg):
    sizes, channels = SMALL[cfg.model.backbone.type]
    cfg.model.backbone.update(T=min(2, cfg.model.backbone.T), **sizes)
    if cfg.model.backbone.type == 'SpikingResNet':
        channels = [8] * len(cfg.model.backbone.widths)
        cfg.model.backbone.update(depths=[1] * len(channels), widths=channels)
    if 'head' in cfg.model:
        cfg.model.head.in_channels = channels[-1]
    else:
        cfg.model.neck.update(in_channels=channels, out_channels=8)
        cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)


def batch(model, size=2):
    """Random data in the form in which the config's loader hands it out."""
    if hasattr(model, 'head'):
        events = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d)).in_channels == 2
        images = (
            torch.rand(size, model.backbone.T, 2, 32, 32)
            if events
            else torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8)
        )
        return dict(inputs=images, data_samples=torch.randint(model.head.num_classes, (size,)))
    truth = torch.randint(model.decode_head.num_classes, (size, 1, 32, 32))
    return dict(
        inputs=list(torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8)),
        data_samples=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in truth],
    )


def step(cfg):
    """One optimiser step of the shrunk network on random images; returns the neurons that the policy works on."""
    shrink(cfg)
    init_default_scope('a2sg_zoo')
    if cfg.get('data_preprocessor'):
        cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model)
    check_channels(model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    neurons = {}
    if 'custom_hooks' in cfg:
        policy = HOOKS.build(cfg.custom_hooks[0]).policy
        neurons = attach(model, policy)
        policy.begin(0, seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = model.train().train_step(batch(model), optimizer)['loss']
    assert loss.isfinite()
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # the attention of a network this small may be silent, and not every recipe decays all its parameters
    assert all('.attn.' in name for name in still), still
    return neurons


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_trains_for_a_step(path):
    cfg = load_config(path)
    validate_config(cfg)
    neurons = step(cfg)
    method = path.stem.rsplit('_', 1)[-1]
    assert bool(neurons) == (method != 'ilif')
    adapted = method not in ('tri', 'box', 'asy')
    assert all(len(neuron.beta) in (cfg.model.backbone.T, *([] if adapted else [1])) for neuron in neurons.values())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_is_built_from_its_description(path):
    """What a weight file may name is enough for every config."""
    cfg = load_config(path)
    shrink(cfg)
    number = (cfg.model.get('decode_head') or cfg.model.get('head')).num_classes
    meta = dict(classes=[str(i) for i in range(number)], palette=[[i % 256] * 3 for i in range(number)])
    description = json.loads(json.dumps(asdict(describe(cfg, meta, path))))
    assert type(build(description['model'], path).backbone).__name__ == cfg.model.backbone.type


@pytest.mark.parametrize('method', METHODS, ids=lambda path: path.stem)
def test_method(method, tmp_path):
    """Each method goes with each network by one line."""
    path = tmp_path / 'config.py'
    base = ROOT / 'configs' / '_base_'
    network = ['models/spikformer_8_384_fpn.py', 'datasets/ade20k.py', 'schedules/ade20k_160k.py']
    if method.stem == 'tet':  # a loss of classifiers
        network = ['models/spikformer_4_384_cifar.py', 'datasets/cifar10.py', 'schedules/spikformer_cifar_300e.py']
    parts = [*network, f'methods/{method.name}', 'default_runtime.py']
    path.write_text(f'_base_ = {[str(base / part) for part in parts]}')
    cfg = load_config(path)
    validate_config(cfg)
    step(cfg)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_is_short(path):
    assert len(path.read_text().splitlines()) <= 30


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_methods_are_compared_on_one_recipe(path):
    first = next(other for other in CONFIGS if other.stem.rpartition('_')[0] == path.stem.rpartition('_')[0])
    ours, theirs = load_config(path), load_config(first)
    for part in ('train_dataloader', 'val_dataloader', 'param_scheduler', 'train_cfg', 'optim_wrapper'):
        assert ours[part] == theirs[part]


@pytest.mark.parametrize(
    'name, neck', [('spikformer_ade20k_tri', 2), ('meta_spikeformer_ade20k_tri', 2), ('e_spikeformer_ade20k_ilif', 1)]
)
def test_learning_rates_of_segmentors(name, neck):
    cfg = load_config(ROOT / 'configs' / f'{name}.py')
    shrink(cfg)
    init_default_scope('a2sg_zoo')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    times = dict(backbone=1, neck=neck, decode_head=2)
    for key, p in model.named_parameters():
        assert rates[id(p)] == pytest.approx(1e-3 * times[key.partition('.')[0]]), key


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_data_and_demo(path):
    cfg = load_config(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.get('pipeline', ()):
            assert TRANSFORMS.build(step)
    demo = load_config(path, demo=True)
    validate_config(demo)
    assert demo.train_cfg.max_iters < cfg.train_cfg.max_iters
    schedule = demo.param_scheduler if isinstance(demo.param_scheduler, list) else [demo.param_scheduler]
    assert max(step.end for step in schedule) == demo.train_cfg.max_iters
    if 'head' in demo.model:
        network = SimpleNamespace(head=MODELS.build(demo.model.head))
        for loader in (demo.train_dataloader, demo.val_dataloader, demo.test_dataloader):
            check_classes(network, DATASETS.build(loader.dataset), path.name)
