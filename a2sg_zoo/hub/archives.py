"""Archives that are unpacked completely, or not at all with the reason."""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from a2sg_zoo.errors import DataError
from a2sg_zoo.hub.download import lock, require_space

_CHUNK = 1 << 20
# RuntimeError is that of an encrypted zip, and ValueError that of a name with a null byte
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def is_absent(path: Path) -> bool:
    """Returns whether nothing is at a path, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def extract(archive: str | os.PathLike, into: str | os.PathLike, top: str | None = None, nested: bool = False) -> Path:
    """Unpacks a zip or tar file as a folder, which appears only when it is complete.

    An existing folder is kept as it is, unless it is empty. An archive that holds nothing but one folder of the same
    name is not nested in a second one.

    Args:
        archive: file to unpack.
        into: folder to make.
        top: name of that one folder of the archive, by default the name of `into`.
        nested: whether zip files in the archive become folders of their names.

    Returns:
        The path of the folder.

    Raises:
        DataError: the archive is damaged, does not fit on the disk, or has members that would land elsewhere.
    """
    into = Path(into)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with lock(into):
            if is_absent(into):
                _unpack(archive, into, top or into.name, nested)
    except _DAMAGE as error:
        raise DataError(f'{archive} cannot be unpacked ({error}); remove it and download it again') from error
    except OSError as error:
        if error.errno is None:  # bz2 and gzip say in this way that a file is damaged
            raise DataError(f'{archive} cannot be unpacked ({error}); remove it and download it again') from error
        raise DataError(
            f'{archive} cannot be unpacked to {into}: {error.strerror}; make space or get access there, '
            'and run the same again'
        ) from error
    return into


def gunzip(archive: str | os.PathLike, into: str | os.PathLike) -> Path:
    """Unpacks a single file that is compressed with gzip. It appears only when it is complete.

    An existing file is kept as it is.

    Args:
        archive: file to unpack.
        into: file to make.

    Returns:
        The path of the file.

    Raises:
        DataError: the archive is damaged, or does not fit on the disk.
    """
    into = Path(into)
    part = into.with_name(f'{into.name}.part')
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with lock(into):
            if not into.exists():
                try:
                    with gzip.open(archive) as source, open(part, 'wb') as target:
                        shutil.copyfileobj(source, target, _CHUNK)
                        target.flush()
                        os.fsync(target.fileno())
                    os.replace(part, into)
                finally:
                    part.unlink(missing_ok=True)
    except _DAMAGE as error:
        raise DataError(f'{archive} cannot be unpacked ({error}); remove it and download it again') from error
    except OSError as error:
        if error.errno is None:  # gzip says in this way that a file is damaged
            raise DataError(f'{archive} cannot be unpacked ({error}); remove it and download it again') from error
        raise DataError(
            f'{archive} cannot be unpacked to {into}: {error.strerror}; make space or get access there, '
            'and run the same again'
        ) from error
    return into


def _unpack(archive: str | os.PathLike, into: Path, top: str, nested: bool) -> None:
    part = into.with_name(f'{into.name}.part')
    if part.exists():  # left by a killed process: a live one holds the lock
        shutil.rmtree(part)
    try:
        with _opened(archive) as (members, extract_member):
            for member in members:
                _refuse_stray(archive, member)
            require_space(into.parent, sum(member.size for member in members))
            part.mkdir()
            for member in tqdm(members, unit='file', desc=into.name, disable=None):
                extract_member(member.name, part)
        for inner in sorted(part.rglob('*.zip')) if nested else ():
            if not inner.name.startswith('.'):
                _unpack(inner, inner.with_suffix(''), inner.stem, nested=False)
            inner.unlink()
        # the member '.' of a tar file has no parts
        tops = {name for member in members for name in PurePosixPath(member.name).parts[:1]}
        if into.exists():
            into.rmdir()
        os.rename(part / top if tops == {top} and (part / top).is_dir() else part, into)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Member(NamedTuple):
    name: str
    size: int
    plain: bool  # a file or a folder, not a link or a device


@contextmanager
def _opened(archive: str | os.PathLike) -> Iterator[tuple[list[_Member], Callable[[str, Path], Any]]]:
    """(members, extract(name, folder)) of a zip or tar file. Reading checks the sums of both formats."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield (
                [_Member(m.filename, m.file_size, not stat.S_ISLNK(m.external_attr >> 16)) for m in file.infolist()],
                file.extract,
            )
    else:
        with tarfile.open(archive) as file:
            if hasattr(tarfile, 'data_filter'):  # from Python 3.10.12 and 3.11.4 on
                file.extraction_filter = tarfile.data_filter
            yield [_Member(m.name, m.size, m.isfile() or m.isdir()) for m in file.getmembers()], file.extract
            while file.fileobj.read(_CHUNK):  # the sum of the compressed stream is at its end
                pass


def _refuse_stray(archive: str | os.PathLike, member: _Member) -> None:
    name = member.name
    if name.startswith('/') or '\\' in name or ':' in name or '..' in PurePosixPath(name).parts:
        raise DataError(f'{archive} is not safe to unpack: its member {name!r} would land outside the folder')
    if not member.plain:
        raise DataError(f'{archive} is not safe to unpack: its member {name!r} is a link or a device')
