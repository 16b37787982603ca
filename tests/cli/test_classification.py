"""The command lines on a classification: train, evaluate, and what goes wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.mistakes import mistake

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/spikformer_4_384_cifar10_a2sg.py'
# the network of the config, small enough for a test
SMALL = [
    'model.backbone.embed_dims=32',
    'model.backbone.depth=1',
    'model.backbone.num_heads=4',
    'model.backbone.T=2',
    'model.head.in_channels=32',
    'train_dataloader.batch_size=8',
    'train_cfg.max_iters=4',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'adaptation.log_interval=2',
    'adaptation.policy.interval=2',
    'adaptation.policy.searcher.trials=4',
]


def run(tool, *arguments):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    environment.pop('CIFAR_ROOT', None)
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )


def losses(work_dir):
    """{iteration: loss} over all logs of a run; later logs win."""
    records = [
        json.loads(line)
        for log in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in log.read_text().splitlines()
    ]
    return {record['iter']: record['loss'] for record in records if 'loss' in record}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A finished demo run: (folder, what it printed)."""
    work_dir = tmp_path_factory.mktemp('run')
    done = run('train', CONFIG, '--demo', '--work-dir', work_dir, '--cfg-options', *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir, done.stdout + done.stderr


def test_trains(trained):
    work_dir, printed = trained
    assert 'SpikingClassifier on Spikformer' in printed and '1437 training images' in printed
    assert len(losses(work_dir)) == 4 and (work_dir / 'iter_4.pth').exists() and list(work_dir.glob('best_top1*.pth'))
    assert [json.loads(line)['iter'] for line in (work_dir / 'adaptation.jsonl').read_text().splitlines()] == [1, 3]


@pytest.mark.slow
def test_evaluates_with_fewer_time_steps(trained, tmp_path):
    work_dir, _ = trained
    scores = {}
    for T in (2, 1):
        done = run(
            'test',
            CONFIG,
            'last',
            '--demo',
            '--work-dir',
            work_dir,
            '--out',
            tmp_path / 'result.json',
            '--show-dir',
            tmp_path / 'show',
            '--cfg-options',
            *SMALL,
            f'model.test_cfg.T={T}',
        )
        assert done.returncode == 0, done.stderr[-3000:]
        result = json.loads((tmp_path / 'result.json').read_text())
        scores[T] = result['metrics']
    confusion = torch.tensor(result['confusion'])
    assert confusion.sum() == 360 and result['classes'] == list(map(str, range(10)))
    assert 100 * float(confusion.diagonal().sum()) / 360 == pytest.approx(scores[1]['top1'])
    assert {path.name for path in (tmp_path / 'show').iterdir()} == {'confusion.png', 'mistakes.png'}
    assert set(scores[2]) == {'top1', 'top5', 'top1_t1', 'top1_t2'} and scores[2]['top1'] == scores[2]['top1_t2']
    assert scores[1]['top1'] == scores[2]['top1_t1'] and 0 <= scores[1]['top1'] <= scores[1]['top5'] <= 100


@pytest.mark.slow
def test_resumes_bit_for_bit(trained, tmp_path):
    (tmp_path / 'iter_2.pth').write_bytes((trained[0] / 'iter_2.pth').read_bytes())
    done = run(
        'train',
        CONFIG,
        '--demo',
        '--work-dir',
        tmp_path,
        '--resume',
        tmp_path / 'iter_2.pth',
        '--cfg-options',
        *SMALL,
        'train_dataloader.num_workers=2',
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert losses(tmp_path) == {i: loss for i, loss in losses(trained[0]).items() if i > 2}


@pytest.mark.parametrize(
    'tool, arguments, named',
    [
        ('train', [], 'CIFAR-10'),
        ('train', ['--demo', '--cfg-options', *SMALL, 'num_classes=100'], 'model.head.num_classes = 100'),
        ('train', ['--demo', '--cfg-options', *SMALL, 'model.head.num_classes=100'], 'model.head.num_classes = 100'),
        ('train', ['--demo', '--cfg-options', *SMALL, 'model.head.in_channels=64'], 'model.head.in_channels = [64]'),
        ('train', ['--demo', '--method', 'tri'], 'adaptation'),
        ('train', ['--demo', '--method', 'samm'], 'sam'),
        ('train', ['--demo', '--cfg-options', 'lr=0.5'], 'optim_wrapper.optimizer.lr'),
        ('test', ['none.pth', '--demo', '--scales', '0.5', '--flip'], '--scales'),
    ],
)
def test_mistakes(tool, arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv('CIFAR_ROOT', raising=False)
    assert named in mistake(capsys, tool, CONFIG, *arguments, '--work-dir', str(tmp_path))


def test_methods_from_the_command_line(tmp_path):
    network = 'configs/spikformer/spikformer_4_384_cifar10.py'
    methods = ['--method', 'a2sg', '--method', 'tet', '--method', 'sam']
    options = ['--work-dir', tmp_path, '--cfg-options', *SMALL]
    done = run('train', network, *methods, '--demo', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'spikformer_4_384_cifar10_a2sg_tet_sam.py').is_file() and len(losses(tmp_path)) == 4
    done = run('test', network, 'last', *methods, '--demo', '--flip', *options)
    assert done.returncode == 0, done.stderr[-3000:]


def test_measures_the_loader():
    done = run('benchmark_loader', CONFIG, '--demo', '--batches', '3')
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'images/s: 48 of 1437 images in ' in done.stdout
