"""Mistakes in a config are found before the first batch, and say what to change."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from a2sg_zoo.engine.build import build_runner, check_channels, compile_backbone
from a2sg_zoo.engine.optimizers import BFloat16OptimWrapper
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.errors import ConfigError
from tests.fake_gpu import fake_gpu

CONFIG = 'configs/spikformer_ade20k_a2sg.py'


@pytest.mark.parametrize(
    'option, value, named',
    [
        ('model.backbone.type', 'Spikfromer', 'Spikformer'),
        ('model.backbone.neuron.tau', 'two', 'tau'),
        ('model.backbone.T', 0, r'\bT\b'),
        ('model.backbone.num_heads', 7, 'num_heads'),
        ('model.backbone.out_indices', [0, 4], 'out_indices'),
        ('adaptation.policy.beta_min', 3.0, r'adaptation.*beta_min'),
        ('model.neck.in_channels', [48, 96, 192, 400], r'model\.neck\.in_channels.*400'),
        ('model.decode_head.in_channels', [128, 128, 128, 64], r'model\.decode_head\.in_channels.*model\.neck'),
        ('num_classes', 19, r'model\.decode_head\.num_classes.*19.*150'),
        ('trian_cfg', dict(max_iters=1), r'trian_cfg.*train_cfg'),
    ],
)
def test_mistakes(option, value, named, tmp_path):
    options = {option: value}
    for loader in ('train', 'val', 'test'):
        options |= {
            f'{loader}_dataloader.dataset.{key}': x
            for key, x in (('data_root', str(tmp_path / 'scenes')), ('train', 2), ('val', 1), ('size', 32))
        }
    with pytest.raises(ConfigError, match=named):
        train(prepare_config(CONFIG, options, demo=True, work_dir=tmp_path / 'run'))
    assert not list(tmp_path.rglob('*.pth'))


def test_overridden_data_root_reaches_every_data_set():
    cfg = prepare_config(CONFIG, {'data_root': '/elsewhere'})
    assert {cfg[f'{loader}_dataloader'].dataset.data_root for loader in ('train', 'val', 'test')} == {'/elsewhere'}


def test_nothing_to_resume_is_said(tmp_path, monkeypatch):
    """A mistyped --work-dir costs a run otherwise."""

    class Built(Exception):
        pass

    def build(cfg):
        assert cfg.load_from is None and not cfg.resume
        raise Built

    said = []
    monkeypatch.setattr('a2sg_zoo.engine.run.build_runner', build)
    monkeypatch.setattr('a2sg_zoo.engine.run.print_log', lambda text, *args: said.append(text))
    for resume in (None, 'auto'):
        with pytest.raises(Built):
            train(prepare_config(CONFIG, demo=True, work_dir=tmp_path / 'typo'), resume)
    assert len(said) == 1 and str(tmp_path / 'typo') in said[0]


class Reached(Exception):
    """The run would begin."""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a run in work_dirs/run, which holds another one, and returns what became of that."""

    def build(cfg):
        raise Reached

    def start(resume=None, options=None):
        folder = tmp_path / 'work_dirs' / 'run'
        folder.mkdir(parents=True)
        (folder / 'iter_4.pth').write_bytes(b'weights')
        (tmp_path / 'link').symlink_to(tmp_path / 'work_dirs')
        (folder / 'link.pth').symlink_to(tmp_path / 'elsewhere.pth')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr('a2sg_zoo.engine.run.build_runner', build)
        cfg = prepare_config('resnet_small_digits', options, work_dir='work_dirs/run')
        with pytest.raises((Reached, ConfigError)) as end:
            train(cfg, resume, keep_old=True)
        return end.type, sorted(path.name for path in folder.parent.glob('run*'))

    return start


@pytest.mark.parametrize(
    'path', ['work_dirs/run/iter_4.pth', 'link/run/iter_4.pth', 'link/../link/run/iter_4.pth', 'link/run/link.pth']
)
def test_the_folder_that_a_run_resumes_from_does_not_move(started, path):
    assert started(path) == (Reached, ['run'])


@pytest.mark.parametrize('key', ['load_from', 'model.init_cfg'])
def test_a_folder_with_weights_that_a_run_begins_with_does_not_move(started, key):
    path = 'link/../work_dirs/run/iter_4.pth'
    value = path if key == 'load_from' else dict(type='Pretrained', checkpoint=path)
    assert started(options={key: value}) == (ConfigError, ['run'])


def test_a_folder_with_another_run_moves(started):
    assert started(options={'load_from': 'elsewhere/iter_4.pth'}) == (Reached, ['run', 'run.1'])


def test_the_launcher_is_that_of_the_command_line(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match='--launcher'):
        prepare_config('resnet_small_digits', {'launcher': 'pytorch'})
    said = []
    monkeypatch.setattr('a2sg_zoo.engine.run.print_log', lambda text, *args: said.append(text))
    prepare_config('resnet_small_digits', launcher='pytorch').dump(tmp_path / 'copy.py')
    for launcher in (None, 'none'):
        assert prepare_config(tmp_path / 'copy.py', launcher=launcher).launcher == 'none'
    assert len(said) == 1 and "launcher = 'pytorch'" in said[0] and str(tmp_path / 'copy.py') in said[0]


def test_only_a_network_is_called_one(tmp_path, monkeypatch):
    """Of what fails in the constructor of the runner."""

    def fail(*args, **kwargs):
        raise ValueError('nonsense')

    cfg = prepare_config('resnet_small_digits', {'log_level': 'ERROR'}, work_dir=tmp_path)
    for part, words in (('build_model', 'network cannot be built'), ('setup_env', 'run cannot be set up')):
        with monkeypatch.context() as patch, pytest.raises(ConfigError, match=f'{words}.*nonsense'):
            patch.setattr('mmengine.runner.Runner.' + part, fail)
            build_runner(cfg)


def test_importing_the_registries_prints_nothing():
    done = subprocess.run(
        [sys.executable, '-c', 'import a2sg_zoo.registry, a2sg_zoo.datasets'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ''


def test_channels_of_a_network_without_neck():
    class Part:
        out_channels = [8, 16]
        in_channels = [8, 16]

    class Network:
        backbone = decode_head = Part()

    check_channels(Network)


def part(**attributes):
    return type('Part', (), attributes)()


@pytest.mark.parametrize(
    'taken',
    [
        dict(in_channels=32, in_index=2),
        dict(in_channels=32, in_index=-1),
        dict(in_channels=[8, 32], in_index=[0, 2]),
        dict(in_channels=40, in_index=(0, 2), input_transform='resize_concat'),
    ],
)
def test_a_head_may_choose_outputs(taken):
    class Network:
        backbone, decode_head = part(out_channels=[8, 16, 32]), part(**taken)

    check_channels(Network)
    Network.backbone = part(out_channels=[8, 16, 24])
    with pytest.raises(ConfigError, match='decode_head.in_channels'):
        check_channels(Network)
    Network.backbone = part(out_channels=[8, 16])
    with pytest.raises(ConfigError, match='decode_head.in_(index|channels)'):
        check_channels(Network)


def test_channels_of_a_neck_that_names_one_number():
    class Network:
        neck, decode_head = part(out_channels=8), part(in_channels=[8, 8], in_index=[0, 2])

    check_channels(Network)
    Network.neck = part(out_channels=8, num_outs=2)
    with pytest.raises(ConfigError, match='decode_head.in_index'):
        check_channels(Network)


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without CUDA')
def test_mixed_precision_without_a_device_is_bfloat16(tmp_path):
    config = tmp_path / 'digits.py'
    base = Path('configs/_base_').resolve()
    parts = 'models/resnet_small', 'datasets/digits', 'schedules/short_sgd', 'methods/a2sg', 'default_runtime'
    config.write_text(f'_base_ = {[f"{base}/{part}.py" for part in parts]}\n')
    cfg = prepare_config(
        config, work_dir=tmp_path / 'run', options={'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2}
    )
    dtypes = set()
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, out: dtypes.add((type(module).__name__, out.dtype)) if torch.is_tensor(out) else None
    )
    try:
        runner = train(cfg, amp=True)
    finally:
        handle.remove()
    assert isinstance(runner.optim_wrapper, BFloat16OptimWrapper)
    assert {('Conv2d', torch.bfloat16), ('LIF', torch.bfloat16)} <= dtypes
    assert all(p.dtype == torch.float32 for p in runner.model.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in runner.model.parameters())


def test_mixed_precision_does_not_take_the_place_of_another_wrapper(tmp_path):
    cfg = prepare_config(
        'configs/resnet19_cifar10_tri.py', work_dir=tmp_path, options={'optim_wrapper.type': 'SAMOptimWrapper'}
    )
    with pytest.raises(ConfigError, match='SAMOptimWrapper'):
        train(cfg, amp=True)


def test_two_runs_in_one_second_are_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(time, 'localtime', lambda *args, now=time.localtime(): now)
    runners = [
        build_runner(prepare_config('configs/resnet19_cifar10_tri.py', demo=True, work_dir=tmp_path / name))
        for name in ('a', 'b')
    ]
    assert runners[0].timestamp == runners[1].timestamp
    for part in ('visualizer', 'message_hub', 'logger'):
        assert getattr(runners[0], part) is not getattr(runners[1], part)


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_a_compiled_backbone_on_a_gpu_is_warned_of(device, caplog):
    with fake_gpu():
        model = nn.ModuleDict(dict(backbone=nn.Linear(2, 2, device=device)))
        compile_backbone(model, True, logging.getLogger('compile'))
    assert ('gradients' in caplog.text) == (device == 'cuda')


def test_compiles_the_backbone_alone(tmp_path):
    """MMEngine's own `compile` would take the training step."""
    results = []
    small = {
        'model.backbone.depths': (1,),
        'model.backbone.widths': (8,),
        'model.backbone.stem': 8,
        'model.head.in_channels': 8,
    }
    for compiled in (False, dict(fullgraph=True)):
        cfg = prepare_config(
            'configs/resnet_small_digits_tri.py',
            {**small, 'compile': compiled},
            demo=True,
            work_dir=tmp_path / str(bool(compiled)),
            seed=1,
        )
        runner = build_runner(cfg)
        torch.manual_seed(0)
        model = runner.model.train()
        assert (model.backbone._compiled_call_impl is not None) == bool(compiled)
        model.double()
        loss = model(torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.arange(4), mode='loss')['loss']
        loss.backward()
        results.append([loss, *(p.grad for p in model.parameters())])
        runner._maybe_compile('train_step')
        assert not hasattr(model.train_step, '_torchdynamo_orig_callable')
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
