"""Files that are there whole or not at all, on disks that are full and in folders that are forbidden."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

import a2sg_zoo.engine.hooks.checkpoint  # noqa: F401  registers the backend
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.files import write_atomically
from tests.hub.misbehaving import small_disk  # noqa: F401


def test_the_backend_writes_whole_files(tmp_path):
    backend = get_file_backend(backend_args=dict(backend='atomic'))
    backend.put(b'one', tmp_path / 'folder' / 'x')
    backend.put_text('zwei', tmp_path / 'folder' / 'x')
    assert (tmp_path / 'folder' / 'x').read_text() == 'zwei'
    assert os.listdir(tmp_path / 'folder') == ['x']


def test_the_folder_is_synced_after_the_rename(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, 'fsync', lambda f: (calls.append('folder' if os.path.isdir(f'/proc/self/fd/{f}') else 'file'), fsync(f))
    )
    monkeypatch.setattr(os, 'replace', lambda a, b: (calls.append('rename'), replace(a, b)))
    write_atomically(b'x', tmp_path / 'x')
    assert calls == ['file', 'rename', 'folder']


_FULL_DISK = """
import resource, signal, sys
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomically(bytes(1_000_000), sys.argv[1])
except CheckpointError as error:
    print(error)
"""


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / 'iter_1.pth'
    path.write_bytes(b'old')
    said = subprocess.run(
        [sys.executable, '-c', _FULL_DISK, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    assert str(path) in said and '1.0 MB' in said
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['iter_1.pth']


def test_a_write_to_where_no_folder_can_be(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointError, match='iter_1.pth') as error:
        write_atomically(b'x', tmp_path / 'file' / 'deep' / 'iter_1.pth')
    assert 'MB' not in str(error.value)


def test_a_full_file_system(small_disk):  # noqa: F811
    path = small_disk / 'iter_1.pth'
    write_atomically(b'old', path)
    with pytest.raises(CheckpointError, match='iter_1.pth.*0.4 MB'):
        write_atomically(bytes(400_000), path)
    assert path.read_bytes() == b'old' and os.listdir(small_disk) == ['iter_1.pth']


_FORBIDDEN = """
import os, sys
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.files import write_atomically
os.geteuid() or os.setuid(65534)  # a superuser may write anywhere
try:
    write_atomically(b'x', sys.argv[1])
except CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize('mode', [0o555, 0o000])
def test_a_write_to_a_forbidden_folder(mode):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'iter_1.pth')
        os.chmod(folder, mode)
        said = subprocess.run(
            [sys.executable, '-c', _FORBIDDEN, path],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        os.chmod(folder, 0o700)
    assert str(path) in said and 'MB' not in said


@pytest.mark.parametrize('call', ['replace', 'fsync'])
def test_a_full_disk_at_any_point_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / 'x'
    path.write_bytes(b'old')

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, call, full)
    with pytest.raises(CheckpointError, match=str(path)):
        write_atomically(b'new', path)
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['x']
