"""Files that are there whole or not at all."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from a2sg_zoo.errors import CheckpointError

# where more space would help
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = '.{}.{}.writing'


def write_atomically(data, path):
    """Writes bytes to a file that, whatever happens, afterwards has its old contents or the new ones.

    Raises:
        CheckpointError: it could not be written; the old contents are still there.
    """
    path = Path(path)
    temporary = path.with_name(_TEMPORARY.format(path.name, os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        needed, advice = '', f'see that {error.filename or path} can be there and that you may write it'
        if error.errno in _FULL:
            needed = f': it takes {len(data) / 1e6:,.1f} MB, and {_free(path.parent)} are free there'
            advice = 'make space and resume'
        raise CheckpointError(
            f'{path} could not be written ({error.strerror}){needed}. What was saved before is untouched; {advice}'
        ) from error


def sync_folder(folder):
    """Waits until the names in a folder are on the disk."""
    if os.name == 'posix':  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _free(folder):
    try:
        return f'{shutil.disk_usage(folder).free / 1e6:,.1f} MB'
    except OSError:
        return 'an unknown number of MB'


def remove_leftovers(folder):
    """Removes what a killed process had begun to write in `folder`."""
    for path in Path(folder).glob(_TEMPORARY.format('*', '*')):
        path.unlink(missing_ok=True)
