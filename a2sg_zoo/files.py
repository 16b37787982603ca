"""Files that are there whole or not at all."""

import os
import shutil
from pathlib import Path

from a2sg_zoo.errors import CheckpointError

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
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f'{path} could not be written ({error.strerror}): it takes {len(data) / 1e6:,.1f} MB, '
                              f'and {_free(path.parent)} are free there. What was saved before is untouched; make '
                              'space and resume') from error


def _sync_folder(folder):
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
