"""Every config of the zoo is valid and its network trains for a step, with every method and with methods together."""

import json
import re
import shlex
from collections import Counter
from dataclasses import asdict
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.engine.build import check_channels
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.config_files import read_config
from a2sg_zoo.engine.config_names import SHIPPED as ROOT
from a2sg_zoo.engine.config_names import find_config, find_method, shipped_configs, shipped_methods
from a2sg_zoo.engine.loaders import check_classes
from a2sg_zoo.engine.parts import hooks_of
from a2sg_zoo.engine.schedules import schedules_of
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.describing import describe
from a2sg_zoo.hub.index import SHIPPED, read_index
from a2sg_zoo.hub.published import build
from a2sg_zoo.models.language import LanguageModel
from a2sg_zoo.registry import DATASETS, MODELS, TRANSFORMS
from tests import composition
from tests.marks import slow_unless

CONFIGS = shipped_configs()
# each backbone so small that a step takes a moment: overrides, and the channels of its four stages
SMALL = dict(
    Spikformer=(dict(embed_dims=32, depth=1, num_heads=4), [4, 8, 16, 32]),
    MetaSpikeFormer=(dict(embed_dims=[8, 16, 32, 40], depths=[1, 1], num_heads=4), [4, 8, 16, 40]),
    ESpikeFormer=(dict(embed_dims=[8, 16, 32, 40], depths=[1, 1], num_heads=4), [4, 8, 16, 40]),
    SpikeDrivenTransformer=(dict(embed_dims=32, depth=1), [4, 8, 16, 32]),
    QKFormer=(dict(embed_dims=32, depth=4, num_heads=4), [8, 16, 32]),
    SEWResNet=(dict(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16)), [8, 8, 16, 16]),
    SpikingResNet=(dict(stem=8), None),
    SpikingResNet9=(dict(stem=4), None),
    VGGSNN=(dict(widths=(8,) * 8), [8] * 4),
    CSNN=(dict(widths=(16,) * 5), [16] * 5),
    DelaySNN=(dict(widths=(8,), max_delay=3), [8]),
    RecurrentSNN=(dict(widths=(8,), T=16, neuron=dict(type='LIF', decay_input=False)), [8]),
    SequenceSpikformer=(dict(embed_dims=16, depth=1, num_heads=4, T=16), [8, 16, 16]),
    SpikeGPT=(dict(embed_dims=16, depth=1, num_heads=2), [16]),
    TextGRU=(dict(embed_dims=8, hidden=16, depth=1), [16]),
    TextTransformer=(dict(embed_dims=16, depth=1, num_heads=2), [16]),
)
# aliases of a config with a method
WITH_A_METHOD = ('spikformer_ade20k_a2sg', 'spikegpt_small_text_a2sg', 'spikegpt_small_text_tri')
# integer neurons have no surrogate
WITH_COUNTS = ('e_spikeformer_ade20k_ilif', 'resnet9_counts_cifar10', 'resnet9_gpu_counts_cifar10')
WITHOUT_NEURONS = ('gru_small_text', 'transformer_small_text')


def shrink(cfg):
    sizes, channels = SMALL[cfg.model.backbone.type]
    cfg.model.backbone.update({'T': min(2, cfg.model.backbone.T), **sizes})
    if cfg.model.backbone.type in ('SpikingResNet', 'SpikingResNet9'):
        channels = [8] * len(cfg.model.backbone.widths)
        cfg.model.backbone.update(depths=[1] * len(channels), widths=channels)
    for part in (cfg.model, cfg.model.backbone):
        if 'allow_missing' in (part.get('init_cfg') or {}):  # pretrained weights of the whole size
            part.init_cfg = None
    if 'head' in cfg.model:
        cfg.model.head.in_channels = channels[-1]
        if cfg.model.head.type == 'VotingHead':  # two time steps are too short for neurons behind neurons to fire
            cfg.model.head.neuron = dict(type='PLIF', v_threshold=0.05)
    elif 'detection_head' in cfg.model:
        # all five stages of Meta-SpikeFormer
        stages = [4, 8, 16, 32, 40] if cfg.model.backbone.type == 'MetaSpikeFormer' else channels
        head = cfg.model.detection_head
        channels = 32 if head.type == 'FCOSHead' else 8  # its group norm has 32 groups
        cfg.model.neck.update(in_channels=[stages[i] for i in cfg.model.backbone.out_indices], out_channels=channels)
        head.in_channels = channels
        if 'RCNN' in head.type:
            head.fc_channels = 16
        if 'MaskRCNN' in head.type:
            head.mask_channels = 8
    elif cfg.model.neck:
        cfg.model.neck.update(in_channels=channels, out_channels=8)
        cfg.model.decode_head.update(in_channels=[8] * len(channels), channels=8)
    else:
        cfg.model.decode_head.update(in_channels=channels, channels=8)


def batch(model, size=2):
    """Random data in the form in which the config's loader hands it out."""
    if isinstance(model, LanguageModel):
        inputs, target = torch.randint(model.head.num_classes, (2, size, model.backbone.T))
        return dict(inputs=inputs, data_samples=target)
    if hasattr(model, 'head') and hasattr(model.backbone, 'in_features'):
        sequences = torch.rand(size, model.backbone.T, model.backbone.in_features)
        return dict(inputs=sequences, data_samples=torch.randint(model.head.num_classes, (size,)))
    if hasattr(model, 'head'):
        events = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d)).in_channels == 2
        images = (
            torch.rand(size, model.backbone.T, 2, 32, 32)
            if events
            else torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8)
        )
        return dict(inputs=images, data_samples=torch.randint(model.head.num_classes, (size,)))
    if hasattr(model, 'detection_head'):
        images = torch.randint(256, (size, 3, 64, 64), dtype=torch.uint8)
        samples = [BaseDataElement(metainfo=dict(img_shape=(64, 64))) for _ in range(size)]
        for sample in samples:
            masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
            masks[:, 8:48, 4:60] = 1
            boxes = torch.tensor([[4.0, 8.0, 60.0, 48.0]])
            sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(1, dtype=torch.long), masks=masks)
        return dict(inputs=list(images), data_samples=samples)
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
    for hook in hooks_of(cfg):
        if hasattr(hook, 'policy'):
            neurons = attach(model, hook.policy)
            hook.policy.begin(0, seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    loss = model.train().train_step(batch(model), optimizer)['loss']
    assert loss.isfinite()
    parameters = dict(model.named_parameters())
    still = [name for name, p in before.items() if torch.equal(p, parameters[name])]
    # the attention of a network this small may be silent, and not every recipe decays all its parameters
    assert all(re.search(r'\.(attn|cross|time)\.', name) for name in still), still
    return neurons


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('method', slow_unless((None, 'tri', 'a2sg'), (None, 'a2sg')))
def test_trains_for_a_step(name, method):
    if method and name in WITH_A_METHOD + WITH_COUNTS:
        pytest.skip('no method goes with it')
    if method and name in WITHOUT_NEURONS:
        pytest.skip('it has no spiking neurons')
    cfg = load_config(name, methods=[method] if method else [])
    neurons = step(cfg)
    assert bool(neurons) == (bool(method) or name in WITH_A_METHOD)
    widths = {len(neuron.beta) for neuron in neurons.values()}
    assert method != 'a2sg' or widths == {cfg.model.backbone.T}


def test_a_method_for_integer_neurons_is_refused_with_the_reason():
    """Rounding has the gradient of the identity: there is no window that a policy could choose."""
    cfg = load_config('e_spikeformer_ade20k_ilif', methods=['a2sg'])
    shrink(cfg)
    init_default_scope('a2sg_zoo')
    model = MODELS.build(cfg.model)
    with pytest.raises(ConfigError, match='ILIF'):
        attach(model, A2SG())


@pytest.mark.parametrize('name', CONFIGS)
def test_is_built_from_its_description(name):
    """What a weight file may name is enough for every config."""
    cfg = load_config(name)
    shrink(cfg)
    heads = [cfg.model[name] for name in ('decode_head', 'head', 'detection_head') if name in cfg.model]
    number = heads[0].num_classes
    meta = dict(classes=[str(i) for i in range(number)], palette=[[i % 256] * 3 for i in range(number)])
    description = json.loads(json.dumps(asdict(describe(cfg, meta, name))))
    assert type(build(description['model'], name).backbone).__name__ == cfg.model.backbone.type


@pytest.mark.parametrize('method', shipped_methods())
def test_every_method_goes_with_a_segmentor(method):
    if 'loss' in read_config(find_method(method)).values:
        with pytest.raises(ConfigError, match='loss'):
            load_config('spikformer_ade20k', methods=[method])
    else:
        step(load_config('spikformer_ade20k', methods=[method]))


# what goes together


def pairs():
    """Each policy with each loss, and each of both with each optimiser."""
    optimisers = ('', *composition.KINDS['optimiser'])
    for i, policy in enumerate(composition.KINDS['policy']):
        for j, loss in enumerate(('', *composition.KINDS['loss'])):
            yield tuple(filter(None, (policy, loss, optimisers[(i + j) % len(optimisers)])))


@pytest.mark.parametrize('methods', [*pairs()], ids='+'.join)
def test_methods_compose(methods):
    assert composition.run(*methods) == ''


def test_every_method_has_one_kind():
    names = [name for kind in composition.KINDS.values() for name in kind]
    assert sorted(names) == shipped_methods() and max(Counter(names).values()) == 1


def test_each_config_stands_in_the_readme_of_its_family():
    listed = (ROOT / 'README.md').read_text()
    for name, file in CONFIGS.items():
        assert name in listed
        if file.parent != ROOT:
            assert name in (file.parent / 'README.md').read_text()


@pytest.mark.parametrize('entry', [pytest.param(entry, id=name) for name, entry in read_index(SHIPPED).items()])
def test_results_in_the_readme_of_a_family_are_those_of_the_weights(entry):
    file, methods = find_config(entry['config'])
    words = shlex.split(entry['recipe']['command'])
    methods = [*methods, *(word for before, word in pairwise(words) if before == '--method')]
    metric = dict(segmentation='mIoU', classification='top1', detection='bbox_mAP', language='bits_per_character')
    metric = metric[entry['task']]
    # an alias stands in no folder
    folder = ROOT / file.stem.partition('_')[0] if file.parent.samefile(ROOT) else file.parent
    (row,) = [line for line in (folder / 'README.md').read_text().splitlines() if f'[{entry.name}]' in line]
    cells = [cell.strip() for cell in row.strip('| ').split('|')]
    no_method = ['none'] * (len(cells) - 3)  # only where the table has a column of methods
    assert cells[1:] == [file.stem, *(methods or no_method), f'{entry["metrics"][metric]:.2f}']


@pytest.mark.parametrize('name', CONFIGS)
def test_config_is_short(name):
    assert len(CONFIGS[name].read_text().splitlines()) <= 30


@pytest.mark.parametrize(
    'name, neck', [('spikformer_ade20k_tri', 2), ('meta_spikeformer_ade20k_tri', 2), ('e_spikeformer_ade20k_ilif', 1)]
)
def test_learning_rates_of_segmentors(name, neck):
    cfg = load_config(name)
    shrink(cfg)
    init_default_scope('a2sg_zoo')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    times = dict(backbone=1, neck=neck, decode_head=2)
    for key, p in model.named_parameters():
        assert rates[id(p)] == pytest.approx(1e-3 * times[key.partition('.')[0]]), key


@pytest.mark.parametrize('name', CONFIGS)
def test_data_and_demo(name):
    cfg = load_config(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.get('pipeline', ()):
            assert TRANSFORMS.build(step)
    demo = load_config(name, demo=True)
    assert demo.train_cfg.max_iters < cfg.train_cfg.max_iters
    schedules = schedules_of(demo)
    ends = [step['end'] for step in (schedules if isinstance(schedules, list) else [schedules])]
    assert max(ends) == demo.train_cfg.max_iters
    if 'head' in demo.model:
        network = SimpleNamespace(head=MODELS.build(demo.model.head))
        for loader in (demo.train_dataloader, demo.val_dataloader, demo.test_dataloader):
            check_classes(network, DATASETS.build(loader.dataset), name)
