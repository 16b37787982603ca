"""The command lines as a user runs them: train, look, evaluate, kill, resume."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from a2sg_zoo.datasets import write_scenes
from a2sg_zoo.hub.checkpoint import read_checkpoint
from tests.cli.mistakes import mistake

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/spikformer_ade20k_a2sg.py'
# the network of the config, small enough for a test
SMALL = [
    'model.backbone.embed_dims=32',
    'model.backbone.depth=1',
    'model.backbone.num_heads=4',
    'model.neck.in_channels=[4,8,16,32]',
    'model.neck.out_channels=8',
    'model.decode_head.in_channels=[8,8,8,8]',
    'model.decode_head.channels=8',
    'train_dataloader.batch_size=2',
    'train_cfg.max_iters=12',
    'train_cfg.val_interval=6',
    'default_hooks.checkpoint.interval=3',
    'default_hooks.logger.interval=1',
    'adaptation.log_interval=2',
    'adaptation.policy.interval=2',
    'adaptation.policy.searcher.trials=4',
]


def data_options(root):
    return [
        f'{loader}_dataloader.dataset.{key}'
        for loader in ('train', 'val', 'test')
        for key in (f'data_root={root}', 'train=6', 'val=3', 'size=64')
    ]


def command(tool, *arguments):
    return [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *map(str, arguments)]


def run(tool, *arguments, **kwargs):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **kwargs.pop('env', {})}
    environment.pop('ADE20K_ROOT', None)
    return subprocess.run(
        command(tool, *arguments),
        capture_output=True,
        text=True,
        cwd=kwargs.pop('cwd', ROOT),
        env=environment,
        timeout=300,
    )


def losses(work_dir):
    """{iteration: loss} over all logs of a run; later logs win. A line is there when its end is."""
    found = {}
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines(keepends=True):
            record = json.loads(line) if line.endswith('\n') else {}
            if 'loss' in record:
                found[record['iter']] = record['loss']
    return found


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes') / 'ADEChallengeData2016', train=6, val=3, size=64)


@pytest.fixture(scope='module')
def trained(scenes, tmp_path_factory):
    """A finished demo run: (folder, what it printed)."""
    work_dir = tmp_path_factory.mktemp('run')
    done = run('train', CONFIG, '--demo', '--work-dir', work_dir, '--cfg-options', *SMALL, *data_options(scenes))
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir, done.stdout + done.stderr


def test_says_what_it_does(trained):
    _, printed = trained
    line = next(line for line in printed.splitlines() if 'EncoderDecoder on Spikformer' in line)
    for part in (
        'M parameters',
        'T = 4',
        '6 training images',
        'A2SG(ASY(beta=1.0, h=0.5), TPESearcher(trials=4)',
        'device: ',
    ):
        assert part in line
    assert re.search(r'Iter\(train\) \[ *6/12\].*eta: ', printed)
    assert 'mIoU_present' in printed


def test_leaves_checkpoints_curves_and_pictures(trained):
    work_dir, _ = trained
    assert (work_dir / 'iter_12.pth').exists() and (work_dir / 'last_checkpoint').exists()
    assert list(work_dir.glob('best_mIoU*.pth')) and list(work_dir.glob('*/vis_data/events.out.tfevents.*'))
    assert (work_dir / 'pictures' / 'iter_12.png').stat().st_size > 10_000
    assert json.loads((work_dir / 'run.json').read_text())


def test_curves_of_every_layer(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work_dir, _ = trained
    records = [json.loads(line) for line in (work_dir / 'adaptation.jsonl').read_text().splitlines()]
    assert [record['iter'] for record in records] == [1, 3, 5, 7, 9, 11]
    layers = records[-1]['layers']
    assert len(layers) == 5 + 7 and 'backbone.blocks.0.attn.attn_neuron' in layers
    for layer in layers.values():
        assert len(layer['beta']) == len(layer['cv']) == 4 and len(layer['tgc']) == 3
        assert 0 <= layer['rate'] <= 1 and set(layer) == {'beta', 'sgv', 'tgc', 'cv', 'rate', 'u_mean', 'u_std'}
    assert set(records[-1]['on_bound']) == {'spatial', 'temporal'}
    events = EventAccumulator(str(next(work_dir.glob('*/vis_data/events*')))).Reload()
    tags = events.Tags()
    for statistic in ('width', 'sgv', 'tgc', 'cv', 'rate'):
        assert any(tag.startswith(f'{statistic}/') for tag in tags['scalars'])
    assert 'segmentation' in tags['images']


def test_evaluates(trained, scenes, tmp_path):
    work_dir, _ = trained
    done = run(
        'test',
        CONFIG,
        'best',
        '--demo',
        '--work-dir',
        work_dir,
        '--out',
        tmp_path / 'r.json',
        '--show-dir',
        tmp_path / 'show',
        '--scales',
        '0.5',
        '1.0',
        '--flip',
        '--cfg-options',
        *SMALL,
        *data_options(scenes),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / 'r.json').read_text())
    assert {'mIoU', 'mAcc', 'aAcc', 'mIoU_present'} <= set(result['metrics'])
    assert {row['class'] for row in result['per_class']} <= {'building', 'sky', 'tree', 'road', 'person', 'car'}
    assert len(list((tmp_path / 'show').glob('*.png'))) == 3 + 1  # and the sheet


def test_killed_run_resumes_bit_for_bit(trained, scenes, tmp_path):
    arguments = [CONFIG, '--demo', '--work-dir', tmp_path, '--cfg-options', *SMALL, *data_options(scenes)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        command('train', *arguments), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while 7 not in losses(tmp_path) and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / 'iter_12.pth').exists()
    done = run('train', *arguments[:4], '--resume', *arguments[4:])
    assert done.returncode == 0, done.stderr[-3000:]
    assert losses(tmp_path) == losses(trained[0]) and len(losses(tmp_path)) == 12
    lines = [(folder / 'adaptation.jsonl').read_text() for folder in (trained[0], tmp_path)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    'arguments, named',
    [
        (['configs/none.py'], ['configs/none.py']),
        ([CONFIG], ['ADE20K_ROOT']),
        ([CONFIG, '--demo', '--cfg-options', 'model.backbone.neuron.tauu=2.0'], ['model.backbone.neuron.tauu', 'tau?']),
    ],
)
def test_bad_input_is_one_clear_error(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv('ADE20K_ROOT', raising=False)
    error = mistake(capsys, 'train', *arguments, '--work-dir', str(tmp_path))
    assert all(part in error for part in named) and not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('workers', [0, 2])
def test_damaged_annotation_in_mid_training(workers, scenes, tmp_path):
    root = shutil.copytree(scenes, tmp_path / 'data')
    victim = sorted((root / 'annotations' / 'training').iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:200])
    done = run(
        'train',
        CONFIG,
        '--demo',
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *SMALL,
        *data_options(root),
        f'train_dataloader.num_workers={workers}',
    )
    assert done.returncode == 2
    assert str(victim) in done.stderr[done.stderr.rindex('\nerror: ') :]
    assert 'Traceback' not in done.stderr


def test_nan_stops_with_step_and_layer(trained, scenes, tmp_path):
    done = run(
        'train',
        CONFIG,
        '--demo',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *SMALL,
        *data_options(scenes),
        'optim_wrapper.optimizer.lr=1e38',
        'default_hooks.checkpoint.interval=1',
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    error = done.stderr[done.stderr.rindex('\nerror: ') :]
    assert re.search(r'iteration \d+', error) and re.search(r'(backbone|neck|decode_head)\.', error)
    assert all(
        x.isfinite().all() for path in tmp_path.glob('iter_*.pth') for x in read_checkpoint(path)['state_dict'].values()
    )


def test_checkpoint_of_another_network(trained, scenes, tmp_path):
    work_dir, _ = trained
    options = [*SMALL, *data_options(scenes), 'model.backbone.depth=2']
    done = run('test', CONFIG, work_dir / 'iter_12.pth', '--demo', '--work-dir', tmp_path, '--cfg-options', *options)
    assert done.returncode == 2 and 'backbone.blocks.1' in done.stderr


def test_own_surrogate_from_a_file_outside_the_repository(scenes, tmp_path):
    (tmp_path / 'my_surrogates.py').write_text(
        'import math, torch\n'
        'from a2sg_zoo.registry import SURROGATES\n'
        'from a2sg_zoo.surrogates import Surrogate\n\n'
        '@SURROGATES.register_module()\n'
        'class Cosine(Surrogate):\n'
        '    def __call__(self, z, beta):\n'
        '        return torch.cos(z * (math.pi / 2) / beta).clamp(min=0) * (z.abs() <= beta)\n'
    )
    done = run(
        'train',
        CONFIG,
        '--demo',
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *SMALL,
        *data_options(scenes),
        'custom_imports.imports=my_surrogates',
        'train_cfg.max_iters=2',
        'adaptation.policy.surrogate.type=Cosine',
        env={'PYTHONPATH': f'{ROOT}:{tmp_path}'},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'A2SG(Cosine' in done.stdout + done.stderr
