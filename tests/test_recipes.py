"""The values of recipes that follow published code are those of their sources, which the table below names.

An epoch is counted in batches, and the table in epochs, so batch size, warm-up and length are checked together. What a
recipe leaves out on purpose is written in the header of its schedule or data set, and in `DIFFERS` here.
"""

from dataclasses import dataclass, field

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.config_names import shipped_configs
from a2sg_zoo.engine.schedules import schedules_of
from a2sg_zoo.registry import MODELS, TRANSFORMS


@dataclass
class Recipe:
    """Values as the source writes them; `images` are those of the training set, `batch` that of all processes."""

    source: str
    optimizer: str
    lr: float
    weight_decay: float
    batch: int
    images: int
    epochs: int
    T: int
    warmup: int = 0
    warmup_lr: float = 0.0
    cooldown: int = 0
    min_lr: float = 0.0
    smoothing: float = 0.0
    mixup: float = 0.0
    mixup_off: int = 0
    drop_last: bool = False
    augmentation: list = field(default_factory=list)
    others: dict = field(default_factory=dict)
    devices: int = 1


FIVE = ['Equalize', 'Rotate', 'ShearX', 'TranslateX', 'TranslateY']
TIMM = dict(num_ops=1, magnitude=9, magnitude_std=0.4, prob=0.5, interpolation='bicubic')
CIFAR = dict(images=50_000, optimizer='AdamW', weight_decay=0.06, T=4, warmup=20, cooldown=10, min_lr=1e-5)
CIFAR |= dict(smoothing=0.1, mixup=0.5, mixup_off=200)
SPIKFORMER = Recipe(
    'cifar10/cifar10.yml and cifar10/aa_snn.py of github.com/ZK-Zhou/spikformer',
    lr=5e-4,
    batch=128,
    epochs=300,
    warmup_lr=1e-5,
    augmentation=[('BatchFlip', dict(prob=0.5)), ('TimmRandAugment', dict(TIMM, operations=FIVE)), 'BatchErasing'],
    **CIFAR,
)
QKFORMER = Recipe(
    'cifar10/cifar10.yml and cifar10/train.py of github.com/zhouchenlin2096/QKFormer',
    lr=1e-3,
    batch=64,
    epochs=400,
    warmup_lr=1e-5,
    augmentation=[('BatchFlip', dict(prob=0.5)), ('TimmRandAugment', TIMM), 'BatchErasing'],
    **CIFAR,
)
SDT = Recipe(
    'conf/cifar10/2_512_300E_t4.yml of github.com/BICLab/Spike-Driven-Transformer',
    lr=3e-4,
    batch=64,
    epochs=300,
    warmup_lr=1e-6,
    augmentation=[('BatchFlip', dict(prob=0.5)), ('TimmRandAugment', TIMM)],
    **CIFAR,
)
RECIPES = {
    'spikformer_4_384_cifar10': SPIKFORMER,
    'spikformer_4_384_cifar100': SPIKFORMER,
    'qkformer_4_384_cifar10': QKFORMER,
    'qkformer_4_384_cifar100': QKFORMER,
    'sdt_2_512_cifar10': SDT,
    'sdt_2_512_cifar100': SDT,
    'sdt_2_256_cifar10dvs': Recipe(
        'conf/cifar10-dvs/2_256_200E_t10_TET.yml and train.py of github.com/BICLab/Spike-Driven-Transformer',
        optimizer='AdamW',
        lr=7.5e-3,
        weight_decay=1e-4,
        batch=32,
        images=9_000,
        epochs=200,
        T=10,
        warmup=10,
        warmup_lr=1e-3,
        cooldown=10,
        min_lr=3e-4,
        smoothing=0.1,
        others={'head.loss.regularization': 0.001, 'head.loss.v_threshold': 1.0},
    ),
    'spikformer_2_256_cifar10dvs': Recipe(
        'cifar10dvs/train.py of github.com/ZK-Zhou/spikformer',
        optimizer='AdamW',
        lr=1e-3,
        weight_decay=0.06,
        batch=16,
        images=9_000,
        epochs=96,
        T=16,
        warmup=10,
        warmup_lr=1e-5,
        cooldown=10,
        min_lr=1e-5,
        smoothing=0.1,
        mixup=0.5,
        drop_last=True,
    ),
    'vggsnn_cifar10dvs': Recipe(
        'main_training_parallel.py, data_loaders.py of github.com/brain-intelligence-lab/temporal_efficient_training',
        optimizer='Adam',
        lr=1e-3,
        weight_decay=0.0,
        batch=128,
        images=9_000,
        epochs=150,
        T=10,
        augmentation=[('BatchEventAugment', dict(operations=['roll'], roll=5, flip=0.5))],
        others={'head.loss.regularization': 0.001, 'head.loss.v_threshold': 1.0},
    ),
    'delay_snn_shd': Recipe(
        'best_config_SHD.py of github.com/Thvnvtos/SNN-delays',
        optimizer='Adam',
        lr=5e-3,
        weight_decay=1e-5,
        batch=256,
        images=8_156,
        epochs=150,
        T=140,
        warmup=45,
        warmup_lr=2e-4,
        others={'head.linear.max_delay': 25, 'head.tau': 1.005, 'head.readout': 'softmax'},
    ),
    'delay_snn_ssc': Recipe(
        'best_config_SSC.py of github.com/Thvnvtos/SNN-delays',
        optimizer='Adam',
        lr=5e-3,
        weight_decay=1e-5,
        batch=128,
        images=75_466,
        epochs=60,
        T=100,
        warmup=18,
        warmup_lr=2e-4,
        others={'head.linear.max_delay': 31, 'head.tau': 1.5, 'head.readout': 'softmax'},
    ),
    'csnn_dvs_gesture': Recipe(
        'codes/train.py of github.com/fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron',
        optimizer='Adam',
        lr=1e-3,
        weight_decay=0.0,
        batch=16,
        images=1_176,
        epochs=1024,
        T=20,
        drop_last=True,
        others={'head.votes': 10},
    ),
    'resnet18_cifar100': Recipe(
        'README and experiment/development of github.com/Windere/ASGL-SNN',
        optimizer='SGD',
        lr=0.1,
        weight_decay=5e-4,
        batch=128,
        images=50_000,
        epochs=300,
        T=2,
        augmentation=['BatchCrop', 'BatchFlip', 'BatchAutoAugment', ('BatchCutout', dict(size=16))],
    ),
    'sew_resnet34_imagenet': Recipe(
        'imagenet/train.py and the logs of github.com/fangwei123456/Spike-Element-Wise-ResNet',
        optimizer='SGD',
        lr=0.1,
        weight_decay=0.0,
        batch=256,
        images=1_281_167,
        epochs=320,
        T=4,
        devices=4,
    ),
    'qkformer_10_384_imagenet': Recipe(
        'imagenet/train.py of github.com/zhouchenlin2096/QKFormer',
        optimizer='AdamW',
        lr=6e-4 * 512 / 256,
        weight_decay=0.05,
        batch=512,
        images=1_281_167,
        epochs=200,
        T=4,
        warmup=5,
        min_lr=1e-6,
        smoothing=0.1,
        drop_last=True,
        devices=8,
    ),
}
# (config, what): why the value is another one than the source's; the header says so, too
DIFFERS = {
    ('resnet18_cifar100', 'T'): '4 time steps, as in the results of other methods',
    ('resnet18_cifar100', 'smoothing'): 'label smoothing of 0.1, as in the other recipes for CIFAR',
    ('spikformer_2_256_cifar10dvs', 'augmentation'): 'rolls in place of translations, an erased square of one size',
    ('spikformer_2_256_cifar10dvs', 'cooldown'): 'the published 10 epochs at the least rate are left out',
    ('sew_resnet34_imagenet', 'augmentation'): "torchvision's crops and flips, one image at a time",
    ('qkformer_10_384_imagenet', 'augmentation'): "torchvision's RandAugment; the published one is timm's with n = 2",
}


@pytest.fixture(params=RECIPES)
def recipe(request):
    return request.param, load_config(request.param), RECIPES[request.param]


def batches_of_an_epoch(recipe):
    whole, rest = divmod(recipe.images, recipe.batch)
    return whole + (rest > 0 and not recipe.drop_last)


def value_at(node, path):
    for key in path.split('.'):
        node = node[key] if isinstance(node, (dict, list)) else getattr(node, key)
    return node


def test_optimizer(recipe):
    name, cfg, source = recipe
    init_default_scope('a2sg_zoo')
    optimizer = build_optim_wrapper(torch.nn.Linear(2, 2), {**cfg.optim_wrapper, 'paramwise_cfg': None}).optimizer
    group = optimizer.param_groups[0]
    assert type(optimizer).__name__ == source.optimizer
    assert (group['lr'], group['weight_decay']) == pytest.approx((source.lr, source.weight_decay))
    if source.optimizer == 'SGD':
        assert (group['momentum'], group['nesterov']) == (0.9, False)
    else:
        assert group['betas'] == (0.9, 0.999)


def test_length_and_schedule(recipe):
    """The rate at the ends of warm-up, cosine and training."""
    name, cfg, source = recipe
    epoch = batches_of_an_epoch(source)
    # the TET recipe counts 70.3 batches an epoch, because its last batch is not full
    cooldown = 0 if (name, 'cooldown') in DIFFERS else source.cooldown
    assert cfg.train_cfg.max_iters == pytest.approx((source.epochs + cooldown) * epoch, rel=0.01)
    schedules = schedules_of(cfg)
    schedules = schedules if isinstance(schedules, list) else [schedules]
    assert schedules[-1]['type'] == 'CosineAnnealingLR' and schedules[-1]['eta_min'] == source.min_lr
    assert schedules[-1]['end'] == pytest.approx(source.epochs * epoch, rel=0.01)
    assert schedules[-1]['begin'] == source.warmup * epoch
    assert len(schedules) == 1 + bool(source.warmup)
    if source.warmup_lr:
        assert schedules[0]['start_factor'] * source.lr == pytest.approx(source.warmup_lr)
        assert (schedules[0]['begin'], schedules[0]['end']) == (0, source.warmup * epoch)


def test_batch_and_time_steps(recipe):
    name, cfg, source = recipe
    assert cfg.train_dataloader.batch_size * source.devices == source.batch
    assert (cfg.model.backbone['T'] == source.T) == ((name, 'T') not in DIFFERS)


def test_loss_and_mixing(recipe):
    name, cfg, source = recipe
    head = MODELS.build(cfg.model.head)
    same = getattr(head.loss, 'label_smoothing', 0.0) == source.smoothing
    assert same == ((name, 'smoothing') not in DIFFERS)
    for path, value in source.others.items():
        assert value_at(dict(head=head), path) == value
    assert [step['alpha'] for step in cfg.model.get('mixing', [])] == ([source.mixup] if source.mixup else [])
    if source.mixup_off:
        assert cfg.default_hooks.stop_mixing.at == source.mixup_off * batches_of_an_epoch(source)
    else:
        assert 'stop_mixing' not in cfg.default_hooks


def test_augmentation(recipe):
    name, cfg, source = recipe
    if (name, 'augmentation') in DIFFERS:
        return
    steps = cfg.train_dataloader.dataset.get('pipeline', [])
    expected = [(step, {}) if isinstance(step, str) else step for step in source.augmentation]
    assert [step['type'] for step in steps] == [kind for kind, _ in expected]

    for step, (kind, arguments) in zip(steps, expected):
        default = TRANSFORMS.build(dict(step, type=kind))
        for key, value in arguments.items():
            if key in step:
                assert step[key] == value, (kind, key)
            elif hasattr(default, key):
                assert getattr(default, key) == value, (kind, key)
    erasing = [step for step in steps if step['type'] == 'BatchErasing']
    assert all(step['prob'] == 0.25 for step in erasing)


def test_no_block_has_stochastic_depth(recipe):
    """Spikformer, QKFormer and both Spike-driven Transformers define `drop_path` and never call it."""
    _, cfg, _ = recipe
    assert not cfg.model.backbone.get('drop_path')


@pytest.mark.parametrize('name, epochs', [('delay_snn_shd', 150), ('delay_snn_ssc', 60)])
def test_delays_narrow_over_a_quarter_of_the_training_and_learn_twenty_times_as_fast(name, epochs):
    cfg = load_config(name)
    (hook,) = cfg.custom_hooks
    assert hook['type'] == 'NarrowDelays'
    assert hook['end'] == (epochs // 4) * cfg.train_cfg.max_iters // epochs
    init_default_scope('a2sg_zoo')
    model = torch.nn.ModuleDict(dict(backbone=MODELS.build(cfg.model.backbone), head=MODELS.build(cfg.model.head)))
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    of = {id(p): group for group in groups for p in group['params']}
    for key, parameter in model.named_parameters():
        group = of[id(parameter)]
        expected = (0.1, 0.0) if key.endswith('.delay') else (5e-3, 0.0 if '.norm.' in key else 1e-5)
        assert (group['lr'], group['weight_decay']) == pytest.approx(expected), key


@pytest.mark.parametrize('name', [name for name in shipped_configs() if name.endswith('_coco')])
def test_detectors_follow_the_1x_schedule(name):
    """That of MODEL_ZOO.md of github.com/facebookresearch/detectron2; 8 processes take 2 pictures each."""
    cfg = load_config(name)
    warmup, steps = schedules_of(cfg)
    assert (cfg.train_dataloader.batch_size * 8, cfg.train_cfg.max_iters) == (16, 90_000)
    assert (warmup['begin'], warmup['end'], warmup['start_factor']) == (0, 500, 0.001)
    assert (steps['milestones'], steps['gamma']) == ([60_000, 80_000], 0.1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        (resize,) = [step for step in loader.dataset.pipeline if step['type'] == 'torchvision/Resize']
        assert (resize['size'], resize['max_size']) == (800, 1333)
