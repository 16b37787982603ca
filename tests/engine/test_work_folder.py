"""A run's folder: one process writes to it at a time, and one run for good."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from a2sg_zoo.engine.work_folder import held, make_folder, set_aside
from a2sg_zoo.errors import ConfigError
from tests.engine import toy

# holds the folder until it is killed; with a child that was forked while it was held, as a data loader's worker is
_HOLDER = """
import os, sys, time
from a2sg_zoo.engine.work_folder import held, set_aside
with held(sys.argv[1], resume=True):
    if not os.fork():
        print(os.getpid(), flush=True)  # the child has let go of the lock
    time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds tmp_path, and its child."""
    process = subprocess.Popen(
        [sys.executable, '-c', _HOLDER, tmp_path], stdout=subprocess.PIPE, text=True, cwd=toy.ROOT
    )
    child = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    os.kill(child, signal.SIGKILL)


def test_a_second_process_is_refused_by_the_name_of_the_first(holder, tmp_path):
    with pytest.raises(ConfigError, match=f'work_dir {tmp_path} .*process {holder.pid} '), held(tmp_path, resume=True):
        pass


def test_the_lock_ends_with_its_process_and_not_with_its_children(holder, tmp_path):
    holder.kill()
    holder.wait()
    with held(tmp_path, resume=True):
        assert f'process {os.getpid()} ' in (tmp_path / '.lock').read_text()


def test_a_folder_is_free_again_after_a_run_also_one_that_fails(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), held(tmp_path, resume=False):
            raise ZeroDivisionError


@pytest.mark.parametrize('name', ['iter_4.pth', 'epoch_1.pth', 'best_top1_iter_4.pth'])
def test_a_new_run_does_not_overwrite_another(tmp_path, name):
    (tmp_path / name).write_bytes(b'weights')
    with pytest.raises(ConfigError, match=rf'work_dir {tmp_path} .*{name}.*--resume.*--work-dir'):
        with held(tmp_path, resume=False):
            pytest.fail('entered')
    with held(tmp_path, resume=True):
        pass


def test_an_old_run_moves_to_a_folder_with_a_number(tmp_path):
    folder = tmp_path / 'run'
    assert set_aside(folder) is None and not folder.exists()
    for number in (1, 2):
        with held(folder, resume=False):
            (folder / 'iter_4.pth').write_bytes(b'%d' % number)
        assert set_aside(folder) == tmp_path / f'run.{number}' and not folder.exists()
    assert [(tmp_path / f'run.{n}' / 'iter_4.pth').read_bytes() for n in (1, 2)] == [b'1', b'2']


@pytest.mark.parametrize('place', ['.', '..', 'link', '../inner'])
def test_the_working_folder_does_not_move(tmp_path, monkeypatch, place):
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'inner' / 'link').symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / 'inner'):
        (folder / 'iter_4.pth').write_bytes(b'weights')
    monkeypatch.chdir(tmp_path / 'inner')
    assert set_aside(place) is None and Path(place, 'iter_4.pth').exists()


def test_a_folder_that_cannot_move_is_named(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, 'Permission denied')

    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'iter_4.pth').write_bytes(b'weights')
    monkeypatch.setattr(Path, 'rename', refuse)
    with pytest.raises(ConfigError, match=f'work_dir {tmp_path} .*Permission denied.*--work-dir'):
        set_aside(tmp_path / 'run')


def test_a_folder_in_use_does_not_move(holder, tmp_path):
    (tmp_path / 'iter_4.pth').write_bytes(b'weights')
    with pytest.raises(ConfigError, match=f'work_dir {tmp_path} .*process {holder.pid} '):
        set_aside(tmp_path)
    assert (tmp_path / 'iter_4.pth').exists()


def test_logs_of_a_run_without_checkpoints_are_no_hindrance(tmp_path):
    (tmp_path / 'run.json').write_text('{}')
    with held(tmp_path, resume=False):
        pass


def test_only_the_first_process_of_a_run_holds_it(tmp_path, monkeypatch):
    with held(tmp_path, resume=True, launcher='pytorch'):
        monkeypatch.setenv('RANK', '1')
        with held(tmp_path, resume=True, launcher='pytorch'):
            pass


@pytest.mark.parametrize('place', ['file', 'file/folder', 'x' * 300, 'loop'])
def test_a_folder_that_cannot_be_is_named(tmp_path, place):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    with pytest.raises(ConfigError, match='work_dir'), held(tmp_path / place, resume=False):
        pass
    with pytest.raises(ConfigError, match='work_dir'):
        make_folder(tmp_path / place)


_FORBIDDEN = """
import os, sys
from a2sg_zoo.engine.work_folder import held, make_folder
from a2sg_zoo.errors import ConfigError
os.geteuid() or os.setuid(65534)  # a superuser may write anywhere
try:
    with held(sys.argv[1], resume=False): print('entered')
except ConfigError as error:
    print(error)
try:
    make_folder(sys.argv[1])
    print('entered')
except ConfigError as error:
    print(error)
"""


def test_a_folder_that_may_not_be_written_is_named():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        said = subprocess.run(
            [sys.executable, '-c', _FORBIDDEN, folder], capture_output=True, text=True, check=True, cwd=toy.ROOT
        ).stdout
        os.chmod(folder, 0o700)
    assert said.count(f'work_dir {folder} ') == 2 and 'entered' not in said


SMALL = [
    'model.backbone.depths=(1,)',
    'model.backbone.widths=(8,)',
    'model.backbone.stem=8',
    'model.head.in_channels=8',
    'train_cfg.max_iters=4000',
    'train_cfg.val_interval=4000',
    'default_hooks.checkpoint.interval=2',
]


def command(folder, *more, options=()):
    config = next(Path(toy.ROOT, 'configs').rglob('resnet_small_digits*.py'))
    words = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(folder), *more]
    environment = {**os.environ, 'PYTHONPATH': str(toy.ROOT), 'OMP_NUM_THREADS': '1'}
    return dict(args=[*words, '--cfg-options', *SMALL, *options], cwd=toy.ROOT, env=environment, text=True)


@pytest.mark.slow
def test_two_commands_into_one_folder(tmp_path):
    """The second is refused while the first runs; after a kill, only a resumed run may go on."""
    first = subprocess.Popen(**command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.time() + 120
        while not (tmp_path / 'last_checkpoint').exists() and time.time() < deadline:
            time.sleep(0.1)
        refused = subprocess.run(**command(tmp_path, '--resume'), capture_output=True, timeout=120)
    finally:
        first.kill()
        first.wait()
    saved = {path.name: path.read_bytes() for path in tmp_path.glob('*.pth')}
    again = subprocess.run(**command(tmp_path, '--seed', '1'), capture_output=True, timeout=120)
    for done, named in ((refused, f'process {first.pid} '), (again, '--resume')):
        error = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and error.startswith('error: ') and named in error and str(tmp_path) in error
    assert saved and saved == {path.name: path.read_bytes() for path in tmp_path.glob('*.pth')}
