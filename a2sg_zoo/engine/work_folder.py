"""The folder of a run: held by one process at a time, and by one run for good."""

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from a2sg_zoo.errors import ConfigError, printable
from a2sg_zoo.hub import web

# the variable in which a launcher tells a process its number
_RANK = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


@contextmanager
def held(work_dir: str | os.PathLike, resume: bool, launcher: str = 'none') -> Iterator[None]:
    """Within the block, no other training writes to the folder.

    The lock is on the file `.lock` in it, and ends with this process, however that ends. The file stays. Of several
    processes of one run, the first holds the lock.

    Args:
        work_dir: folder of a run; it is made if it is missing.
        resume: whether the run continues one in this folder.
        launcher: MMEngine's launcher ('none', 'pytorch', 'slurm', 'mpi').

    Raises:
        ConfigError: the folder cannot be written, is in use, or holds the checkpoints of another run that would be
            overwritten.
    """
    folder = Path(work_dir)
    if int(os.environ.get(_RANK.get(launcher, ''), 0)):
        yield
        return
    lock = FileLock(folder / '.lock')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        (folder / '.lock').write_text(_this_process() + '\n')
    except Timeout:
        raise ConfigError(
            f'work_dir {folder} is in use by {_holder(folder)}. Wait for that run to end, or give this one another '
            'folder with --work-dir'
        ) from None
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        if not resume:
            _refuse_to_overwrite(folder)
        yield
    finally:
        lock.release()


def make_folder(work_dir: str | os.PathLike) -> None:
    """Makes the folder of an evaluation, if it is missing; a training makes its own, see `held`.

    Args:
        work_dir: folder of a run.

    Raises:
        ConfigError: the folder cannot be made, or nothing can be written in it.
    """
    try:
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        if not os.access(work_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _not_writable(Path(work_dir), error) from error


def set_aside(work_dir: str | os.PathLike, launcher: str = 'none') -> Path | None:
    """Makes room for a new run: a folder with checkpoints gets the next free name of NAME.1, NAME.2, ...

    Args:
        work_dir: folder of a run.
        launcher: MMEngine's launcher; only the first of several processes moves the folder.

    Returns:
        The folder's new name; None where nothing was in the way, or where the folder holds the working folder, which
        cannot move under a process.

    Raises:
        ConfigError: the folder is in use, or cannot be moved.
    """
    folder = Path(work_dir)
    if int(os.environ.get(_RANK.get(launcher, ''), 0)) or not _checkpoints(folder):
        return None
    working = Path(os.path.realpath(os.curdir))
    if Path(os.path.realpath(folder)) in (working, *working.parents):
        return None
    with held(folder, resume=True):
        number = next(n for n in count(1) if not folder.with_name(f'{folder.name}.{n}').exists())
        try:
            return folder.rename(folder.with_name(f'{folder.name}.{number}'))
        except OSError as error:
            raise _not_writable(folder.parent, error) from error


def _not_writable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f'work_dir {folder} cannot be written ({error.strerror or error}); choose another folder with --work-dir'
    )


def _this_process() -> str:
    command = web.without_secrets(' '.join(sys.argv))
    return f'process {os.getpid()} on {platform.node()}, since {time.ctime()}: {command}'


def _holder(folder: Path) -> str:
    try:
        return printable((folder / '.lock').read_text(errors='replace').strip())[:300] or 'another process'
    except OSError:
        return 'another process'


def _refuse_to_overwrite(folder: Path) -> None:
    saved = _checkpoints(folder)
    if saved:
        raise ConfigError(
            f'work_dir {folder} holds the checkpoints of a run, the latest is {saved[-1].name}, and a new run would '
            'overwrite them. Continue that run with --resume, or give this one another folder with --work-dir'
        )


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the latest last."""
    return sorted(folder.glob('*.pth'), key=lambda path: (path.lstat().st_mtime, path.name))
