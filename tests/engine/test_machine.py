"""What a machine refuses in the middle of a run: done to real processes."""

import errno
import json
import os
import re
import subprocess
import sys

import pytest
import torch

from a2sg_zoo.engine.machine import machine_faults_named
from a2sg_zoo.errors import DataError, MachineError
from tests.engine import toy

_RUN = """
import glob, os, resource, signal, sys
import torch
from a2sg_zoo.engine.machine import machine_faults_named
from a2sg_zoo.errors import A2SGError
from tests.engine import toy

folder = sys.argv[1]
{setup}
try:
    with machine_faults_named(folder):
        {run}
    print('\\nended')
except A2SGError as error:
    print('\\n' + type(error).__name__ + ': ' + str(error))
"""


def outcome(folder, run, setup=''):
    """The last line that a process prints in which `run` is run."""
    # a disk without space has none for what `make coverage` measures
    environment = {key: value for key, value in os.environ.items() if key != 'COVERAGE_PROCESS_CONFIG'}
    done = subprocess.run(
        [sys.executable, '-c', _RUN.format(setup=setup, run=run), folder],
        capture_output=True,
        text=True,
        cwd=toy.ROOT,
        env={**environment, 'PYTHONPATH': str(toy.ROOT)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1], done.stdout + done.stderr


def test_a_worker_that_the_system_kills(tmp_path):
    setup = """
class Killed(toy.Points):
    def __getitem__(self, index):
        if index == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)
toy.AugmentedPoints = Killed
"""
    last, _ = outcome(tmp_path, 'toy.runner(folder, workers=2, checkpoint=dict(interval=1)).train()', setup)
    assert last.startswith('MachineError') and 'num_workers' in last and '--resume' in last


def test_memory_that_is_refused(tmp_path):
    setup = """
class Greedy(toy.Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 5:
            here = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (here + (64 << 20), -1))
            {take}
"""
    for take in ('torch.zeros(1 << 30)', 'bytearray(1 << 30)'):
        run = 'toy.runner(folder, hooks=[Greedy()], checkpoint=dict(interval=1)).train()'
        last, _ = outcome(tmp_path / take[:5], run, setup.replace('{take}', take))
        assert last.startswith('MachineError') and 'batch_size' in last and '--resume' in last
        assert (tmp_path / take[:5] / 'iter_5.pth').exists()


LIMIT = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
class Limit(toy.Hook):
    priority = 'VERY_HIGH'
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 5:
            size = {size}
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
"""


def test_a_checkpoint_that_finds_no_space_ends_the_run(tmp_path):
    """The limit on the size of files is as good as a full disk: a write fails half way."""
    last, _ = outcome(tmp_path, 'toy.runner(folder, hooks=[Limit()]).train()', LIMIT.replace('{size}', '2000'))
    assert last.startswith('CheckpointError') and str(tmp_path / 'iter_8.pth') in last and 'MB' in last
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_4.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_4.pth'


def test_logs_that_find_no_space_end_nothing_and_are_named_once(tmp_path):
    """Text log, scalars.json and event files; checkpoints are not written after the limit."""
    run = """toy.runner(
            folder, hooks=[Limit()], checkpoint=dict(interval=5, save_last=False), max_iters=9, log_level='INFO',
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)), log_processor=dict(by_epoch=False),
            visualizer=dict(
                type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
            )).train()"""
    # as much as the smallest of them has, so that nothing can be appended to any
    size = "min(os.path.getsize(x) for e in ('json', 'log') for x in glob.glob(f'{folder}/**/*.{e}', recursive=True))"
    last, everything = outcome(tmp_path, run, LIMIT.replace('{size}', size))
    assert last == 'ended', everything[-3000:]
    assert 'Traceback' not in everything and 'Logging error' not in everything
    warnings = re.findall(r'WARNING - (\S+) cannot be written', everything)
    assert warnings and len(warnings) == len(set(warnings)) and all(str(tmp_path) in path for path in warnings)
    assert re.search(r'Iter\(train\) \[9/9\]', everything)
    # what was written is whole
    for path in tmp_path.rglob('scalars.json'):
        assert path.read_text().endswith('\n') and [json.loads(line)['step'] for line in path.read_text().splitlines()]


def test_a_folder_of_logs_that_vanished_ends_nothing(tmp_path):
    setup = """
import shutil
class Remove(toy.Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 5:
            shutil.rmtree(folder)
"""
    run = """toy.runner(folder, hooks=[Remove()], log_level='INFO',
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1))).train()"""
    last, everything = outcome(tmp_path / 'run', run, setup)
    assert last == 'ended' and 'Traceback' not in everything
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_12.pth', 'iter_8.pth']


@pytest.mark.parametrize(
    'code, advice',
    [
        *((code, 'space') for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((code, 'permissions') for code in (errno.EROFS, errno.EACCES, errno.EPERM)),
    ],
)
def test_a_disk_that_refuses_is_named(code, advice):
    with pytest.raises(MachineError, match=f'/place/file.*{advice}'), machine_faults_named('/work'):
        raise OSError(code, os.strerror(code), '/place/file')
    with pytest.raises(MachineError, match='/work'), machine_faults_named('/work'):
        raise OSError(code, os.strerror(code))


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        OSError(errno.ENOMEM, 'Cannot allocate memory'),
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_every_kind_of_refused_memory_is_one_error(error):
    with pytest.raises(MachineError, match='batch_size'), machine_faults_named('/work'):
        raise error


@pytest.mark.parametrize('error', [ValueError('x'), RuntimeError('shape'), FileNotFoundError('y'), DataError('z')])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, machine_faults_named('/work'):
        raise error
    assert caught.value is error


def test_the_evaluations_outlive_a_full_disk(tmp_path):
    """A line that found no space is missing, and the evaluation is run again on resume."""
    size = "os.path.getsize(folder + '/evaluations.jsonl')"
    run = """toy.runner(folder, hooks=[Limit()], scores={3: 1.0, 6: 2.0}, val_interval=3, max_iters=7,
            checkpoint=dict(interval=6, save_last=False)).train()"""
    last, _ = outcome(tmp_path, run, LIMIT.replace('{size}', size).replace('runner.iter == 5', 'runner.iter == 4'))
    # the checkpoint finds no space either, and says so
    assert last.startswith('CheckpointError')
    assert [json.loads(line)['iter'] for line in (tmp_path / 'evaluations.jsonl').read_text().splitlines()] == [3]
