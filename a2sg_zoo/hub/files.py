"""Files that are either complete or absent, and the results that a user asks a tool to write.

`write_atomically` is for files of a2sg_zoo's own, such as checkpoints. `check_output` and `write_output` are for a file
that a user named: they never replace a file that the same tool did not write.
"""

import errno
import io
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError

# errors that more space would solve
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = '.{}.{}.writing'
# the part of a name that a temporary name repeats: together they stay below the 255 bytes of a file system
_NAME_PART = 50
_WEIGHT_SUFFIXES = ('.pth', '.pt', '.ckpt', '.safetensors')
# bytes at the start and at the end of a file in which its mark stands
_MARKED_PART = 4096
# for the names of files that are not UTF-8; what it writes into JSON is read back as the same name
_ESCAPE = 'backslashreplace'


# marks a folder whose files can be made again, see https://bford.info/cachedir
CACHE_TAG = 'CACHEDIR.TAG'
_TAG_TEXT = b'Signature: 8a477f597d28d172789f06886806bc55\n# made by a2sg_zoo; its files can be made again\n'


def mark_as_cache(folder: Path) -> None:
    """Marks a folder as a cache, for programs that copy or compare data.

    Args:
        folder: it exists.

    Raises:
        OSError: the mark cannot be written.
    """
    tag = folder / CACHE_TAG
    if not tag.exists():
        tag.write_bytes(_TAG_TEXT)


def write_atomically(data: bytes, path: str | os.PathLike) -> None:
    """Writes a file so that, after any failure, it has either its old or its new contents.

    The bytes go to a temporary name in the same folder, are synced to the disk, and are then renamed.

    Args:
        data: new contents.
        path: file to write or replace. Missing folders are made.

    Raises:
        CheckpointError: the file cannot be written; its old contents are still there.
    """
    try:
        _replace(data, Path(path))
    except OSError as error:
        raise CheckpointError(_failure(data, Path(path), error)) from error


def _replace(data: bytes, path: Path) -> None:
    temporary = path.with_name(_TEMPORARY.format(path.name[:_NAME_PART], os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _failure(data: bytes, path: Path, error: OSError) -> str:
    needed, advice = '', f'check that {error.filename or path} can exist and that you may write it'
    if error.errno in _FULL:
        needed = f': it takes {len(data) / 1e6:,.1f} MB, and {_free(path.parent)} are free there'
        advice = 'make space and resume'
    return f'{path} could not be written ({error.strerror}){needed}. What was saved before is untouched; {advice}'


def sync_folder(folder: str | os.PathLike) -> None:
    """Waits until the names in a folder are on the disk."""
    if os.name == 'posix':  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _free(folder: Path) -> str:
    try:
        return f'{shutil.disk_usage(folder).free / 1e6:,.1f} MB'
    except OSError:
        return 'an unknown number of MB'


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes the temporary files that killed processes left in a folder."""
    for path in Path(folder).glob(_TEMPORARY.format('*', '*')):
        path.unlink(missing_ok=True)


def is_leftover(path: str | os.PathLike) -> bool:
    """Whether a file is a temporary file of `write_atomically`, which a killed process leaves behind."""
    return Path(path).match(_TEMPORARY.format('*', '*'))


def expanded(path: str | os.PathLike) -> Path:
    """The path with `~` and `~USER` replaced by the home folder.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f'{path} names the home folder of a user who does not exist') from error


def mark(tool: str) -> str:
    """The text by which a result of a tool is recognised, for example 'a2sg_zoo predict'.

    `write_output` puts it into JSON, text and pictures. Who makes the bytes of a PNG by other means stores it there as
    the metadata `Software`.

    >>> mark('predict')
    'a2sg_zoo predict'
    """
    return f'a2sg_zoo {tool}'


def check_output(path: str | os.PathLike, tool: str) -> Path:
    """Checks, before the work begins, that `write_output` will be able to write a file that a user named.

    Nothing is written, and no folder is made.

    Args:
        path: file to write later; `~` is expanded.
        tool: name of the tool, such as 'test'.

    Returns:
        The path, expanded.

    Raises:
        ConfigError: the path is a folder or another thing that is no regular file, has a suffix of checkpoints, cannot
            be written, or is an existing file that this tool did not write. An empty file may be replaced.
    """
    path = expanded(path)
    if path.suffix in _WEIGHT_SUFFIXES:
        raise ConfigError(f'{path} is named like a checkpoint, and the result of {tool} is none; choose another suffix')
    try:
        if path.is_dir():
            raise ConfigError(f'{path} is a folder; name a file in it for the result of {tool}')
        if path.exists():
            if not path.is_file():
                raise ConfigError(f'{path} is not a regular file, so no result of {tool} is written to it')
            if path.suffix != '.csv' and not _written_by(path, tool):
                raise _foreign(path, tool)
        _require_writable(path)
    except A2SGError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'{path} cannot be written ({getattr(error, "strerror", None) or error}); choose another name or folder '
            f'for the result of {tool}'
        ) from error
    return path


def check_output_folder(folder: str | os.PathLike, tool: str) -> Path:
    """Checks, before the work begins, that results can be written to a folder that a user named; see `check_output`.

    The folder need not exist. What is in it is not looked at: `write_output` checks every file.

    Raises:
        ConfigError: the path is a file, or the folder cannot be made or written.
    """
    folder = expanded(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f'{folder} is a file; name a folder for the results of {tool}')
        _require_writable(folder / 'x')
    except A2SGError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'{folder} cannot be written ({getattr(error, "strerror", None) or error}); choose another folder for the '
            f'results of {tool}'
        ) from error
    return folder


def write_output(contents: Any, path: str | os.PathLike, tool: str, heads: Collection[str] = ()) -> Path:
    """Writes a file that a user named, whole or not at all, and never over a file of somebody else.

    Every result carries the mark of its tool (see `mark`), so that the next call knows what it may replace:

    ========================  ===================================================================
    contents                  mark
    ========================  ===================================================================
    dict, written as JSON     the first key, `"made_by": "a2sg_zoo TOOL"`
    PIL image, written as PNG the metadata `Software`
    str, for .csv             none; an existing file is ours if it has the same first line,
                              or one of `heads`
    str, for other suffixes   a last line `<!-- made by a2sg_zoo TOOL -->` (Markdown, HTML, SVG)
    bytes                     must be there already
    ========================  ===================================================================

    In JSON, numbers that are not finite become null.

    Args:
        contents: see above.
        path: file to write; `~` is expanded, and a symbolic link is followed. Missing folders are made.
        tool: name of the tool, such as 'test'.
        heads: further first lines, without their ends, that a .csv of this tool may have.

    Returns:
        The path, expanded.

    Raises:
        ConfigError: the file is refused (see `check_output`) or cannot be written; an old result is still there.
        ValueError: `contents` are bytes without the mark.
    """
    path = check_output(path, tool)
    data = _encoded(contents, path, tool)
    if path.suffix == '.csv' and path.is_file() and path.stat().st_size:
        if _first_line(path) not in (data.split(b'\n')[0], *(head.encode() for head in heads)):
            raise _foreign(path, tool)
    try:
        _replace(data, Path(os.path.realpath(path)))
    except OSError as error:
        raise ConfigError(_failure(data, path, error)) from error
    return path


def _foreign(path: Path, tool: str) -> A2SGError:
    return ConfigError(
        f'{path} exists and was not written by {tool}, so it is left as it is; choose another name, or move it away'
    )


def _require_writable(path: Path) -> None:
    """Raises OSError unless a file could be made at `path`; tried in the nearest folder that exists."""
    folder = Path(os.path.realpath(path)).parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    with suppress(FileNotFoundError):
        os.stat(path)  # raises for a name that is too long, and for a loop of links
    with tempfile.TemporaryFile(dir=folder):
        pass


def _written_by(path: Path, tool: str) -> bool:
    with open(path, 'rb') as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_MARKED_PART)
        file.seek(max(size - _MARKED_PART, 0))
        tail = file.read()
    return not size or _has_mark(head, tail, tool)


def _has_mark(head: bytes, tail: bytes, tool: str) -> bool:
    own = mark(tool).encode()
    software = b'Software\0' + own
    chunk = len(software).to_bytes(4, 'big') + b'tEXt' + software
    return (
        (head.startswith(b'\x89PNG\r\n\x1a\n') and chunk in head)
        or re.match(rb'\s*\{\s*"made_by"\s*:\s*"%s"' % re.escape(own), head) is not None
        or tail.rstrip().endswith(b'<!-- made by %s -->' % own)
    )


def _first_line(path: Path) -> bytes:
    with open(path, 'rb') as file:
        return file.readline().rstrip(b'\n')


def _encoded(contents: Any, path: Path, tool: str) -> bytes:
    if isinstance(contents, dict):
        marked = {'made_by': mark(tool), **finite_json(contents)}
        return (json.dumps(marked, indent=2, ensure_ascii=False, allow_nan=False) + '\n').encode(errors=_ESCAPE)
    if isinstance(contents, str):
        ending = '' if path.suffix == '.csv' else f'\n<!-- made by {mark(tool)} -->\n'
        return f'{contents.rstrip()}\n{ending}'.encode(errors=_ESCAPE)
    if isinstance(contents, bytes):
        if not _has_mark(contents[:_MARKED_PART], contents[-_MARKED_PART:], tool):
            raise ValueError(f'{path}: its bytes have no mark {mark(tool)!r}')
        return contents
    from PIL.PngImagePlugin import PngInfo

    info, data = PngInfo(), io.BytesIO()
    info.add_text('Software', mark(tool))
    contents.save(data, format='png', pnginfo=info)
    return data.getvalue()


def finite_json(node: Any) -> Any:
    """Returns the same JSON data with None in place of NaN and infinities, for which JSON has no word.

    >>> finite_json({'loss': [0.5, float('nan')]})
    {'loss': [0.5, None]}
    """
    if isinstance(node, dict):
        return {key: finite_json(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [finite_json(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
