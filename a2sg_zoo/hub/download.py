"""Large downloads that are complete and checked, or fail with a reason: resumed, bounded, safe beside a second process.

pooch decides whether a file has to be fetched, checks its hash and puts it in place; this module transfers the bytes.
"""

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import pooch
import requests
from filelock import FileLock, Timeout
from tqdm import tqdm

from a2sg_zoo.errors import DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.files import sync_folder

_RETRIES = 5
# the file that holds the bytes that have arrived so far
_BYTES = 'bytes'
# space that a download leaves free on the disk
_MARGIN = 1_000_000
# the most bytes of a file for which neither caller nor server tells the size
LARGEST_UNKNOWN = 64_000_000_000
# it would advise users to pass the hash to pooch
pooch.get_logger().setLevel(logging.WARNING)


def download(
    url: str,
    path: str | os.PathLike,
    *,
    checksum: str | None = None,
    size: int | None = None,
    timeout: float = 30,
    mirror: str | None = 'A2SG_MIRROR',
) -> Path:
    """Downloads an address to a file, which appears only when it is complete and checked.

    Until then the bytes collect in the folder `path` + '.part'. A later call resumes from there if the server still has
    the same file. Failures that may pass (stalls, resets, 5xx) are tried again with growing pauses, until five in a row
    brought nothing new. An existing file is checked, and kept if it is right. A transfer ends with an error as soon as
    the server sends more than `size` bytes, and what came is removed; without `size`, the same holds for the length
    that the server announces, or for 64 GB and the free space of the disk if it announces none.

    Args:
        url: http:, https: or file:.
        path: file to write. Missing folders are made.
        checksum: 'sha256:HEX', or another algorithm of `hashlib`, such as 'md5:HEX'.
        size: expected size in bytes.
        timeout: seconds to connect in, and seconds without a byte that count as a stall.
        mirror: name of an environment variable. If it is set, to a base URL, the file is taken from there under the
            name of `path` (file: URLs are not). None for no mirror.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be fetched, differs from what is expected, does not fit on the disk, or cannot be
            written.
    """
    path = Path(path)
    url, scheme = _mirrored(url, path.name, mirror)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path):
            if path.is_dir():
                raise DataError(f'{path} is a folder, where the file of {web.shown(url)} should go; move it away')
            if not path.exists() or fault(path, checksum, size):
                folder = path.absolute().with_name(f'{path.name}.part')
                downloader = _Copying(url) if scheme == 'file' else _Resuming(folder, url, checksum, size, timeout)
                _retrieve(web.shown(url), path, folder, checksum, size, downloader)
    except OSError as error:
        raise DataError(
            f'{path} cannot be written: {error.strerror or error}; make space or get access there, or name another '
            'folder (for weights: A2SG_ZOO_CACHE or A2SG_HOME; for data sets: --root), and run the same command again'
        ) from error
    return path


def _retrieve(
    shown: str, path: Path, folder: Path, checksum: str | None, size: int | None, downloader: Callable
) -> None:
    """Lets pooch download and check in a folder of its own, where a kill may leave its temporary files, and moves the
    result to `path`."""
    try:
        found = Path(pooch.retrieve(shown, checksum, path.name, folder, downloader=downloader))
        wrong = fault(found, size=size)
        if wrong:
            raise ValueError(f'{wrong}. It was deleted.')
        with open(found, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(found, path)
        sync_folder(path.parent)
    except ValueError as error:  # pooch's, of the checksum
        raise DataError(
            f'{shown} is not the expected file: {error} Run the same command again; if that does not help, the file '
            'has changed at its source'
        ) from error
    finally:
        if not (folder / _BYTES).exists():
            shutil.rmtree(folder, ignore_errors=True)


class _Copying:
    """A downloader of pooch for file: URLs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, _url: str, output_file: str, _pooch: object) -> None:
        try:
            source = Path(url2pathname(urlsplit(self._url).path))
            with open(source, 'rb') as file:
                needed = os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise DataError(f'{self._url} cannot be read: {getattr(error, "strerror", None) or error}') from error
        require_space(Path(output_file).parent, needed)
        shutil.copyfile(source, output_file)


class _Resuming:
    """A downloader of pooch that resumes an earlier transfer.

    Its folder holds the bytes that have arrived so far, and a note that tells whether the server's file is still the
    same: a hash of the address, and the server's ETag or date.
    """

    def __init__(self, folder: Path, url: str, checksum: str | None, size: int | None, timeout: float) -> None:
        self._folder, self._url, self._size, self._timeout = folder, url, size, timeout
        self._shown = web.shown(url)
        self._source = hashlib.sha256(web.split_credentials(url)[0].encode()).hexdigest()
        self._bytes, self._note = folder / _BYTES, folder / 'source'
        self._has_checksum = checksum is not None
        note = self._note.read_text(errors='replace') if self._note.is_file() else ''
        source, _, self._validator = note.partition('\n')
        if source != self._source or (size is not None and self._have > size):
            self._start_again()

    @property
    def _have(self) -> int:
        return self._bytes.stat().st_size if self._bytes.exists() else 0

    def __call__(self, _url: str, output_file: str, _pooch: object) -> None:
        failures, most = 0, self._have
        while self._size is None or self._offset() != self._size:
            try:
                self._attempt()
                break
            except web.WebError as error:
                have = self._have
                failures = 1 if have > most else failures + 1
                most = max(most, have)
                if failures == _RETRIES or not error.passing:
                    kept = f'. The part that arrived is kept in {self._folder}; run the same command again to resume'
                    raise DataError(
                        f'{self._shown} cannot be fetched: {error}. Check the address, or set A2SG_MIRROR (for '
                        f'weights: A2SG_ZOO_MIRROR) to the base URL of a mirror{kept if self._offset() else ""}'
                    ) from error
            time.sleep(2 ** (failures - 1))
        os.replace(self._bytes, output_file)

    def _attempt(self) -> None:
        """Sends one request for the missing bytes.

        Raises:
            WebError: the request failed.
            DataError: the file differs from what is expected, or does not fit on the disk.
        """
        have = self._offset()
        headers = {'Range': f'bytes={have}-'} if have else {}
        if have and self._validator:
            headers['If-Range'] = self._validator
        with web.get(self._url, self._timeout, headers) as response:
            if response.status_code == 416:  # the server's file is shorter than what is here: another file
                self._start_again()
            web.require_success(response)
            if not self._name.endswith(('.html', '.htm')):
                web.refuse_web_page(response, self._name)
            if response.status_code != 206 or not response.headers.get('Content-Range', '').startswith(
                f'bytes {have}-'
            ):
                have = 0  # the server sends the whole file
            self._receive(response, have)

    @property
    def _name(self) -> str:
        return self._folder.name.removesuffix('.part')

    def _receive(self, response: requests.Response, have: int) -> None:
        coming = web.length(response)
        total = self._size if coming is None else have + coming
        if self._size is not None and total != self._size:
            self._refuse(f'is not the expected file: it has {total} bytes, not {self._size}')
        if total is not None:
            require_space(self._folder, total - have)
        if not have:
            self._begin(response.headers)
        with (
            open(self._bytes, 'ab' if have else 'wb') as file,
            tqdm(total=total, initial=have, unit='B', unit_scale=True, desc=self._name, disable=None) as bar,
        ):
            for chunk in web.chunks(response, self._timeout):
                have += len(chunk)
                self._require_bounded(have, len(chunk), total)
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and self._have < total:
            raise web.WebError(f'the connection closed after {self._have} of {total} bytes', passing=True)

    def _require_bounded(self, have: int, coming: int, total: int | None) -> None:
        """Ends an answer that does not end at its size, or, where that is unknown, before it fills the disk."""
        if have > (LARGEST_UNKNOWN if total is None else total):
            self._refuse(
                f'is not the expected file: the server sends more than {LARGEST_UNKNOWN if total is None else total} '
                'bytes'
            )
        if total is None and shutil.disk_usage(self._folder).free < coming + _MARGIN:
            self._refuse(
                f'does not fit: the server does not tell its size, and the disk of {self._folder.parent} is full after '
                f'{have / 1e6:,.1f} MB'
            )

    def _refuse(self, reason: str) -> None:
        self._start_again()
        raise DataError(f'{self._shown} {reason}. What had arrived was removed')

    def _offset(self) -> int:
        """The byte to resume from: 0 if nothing could tell that two halves belong to different files."""
        return self._have if self._validator or self._has_checksum else 0

    def _start_again(self) -> None:
        self._validator = ''
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir()

    def _begin(self, headers: requests.structures.CaseInsensitiveDict) -> None:
        """Notes the server's validator for a transfer from byte 0; weak ones do not hold for ranges."""
        etag = headers.get('ETag', '')
        self._validator = etag if etag and not etag.startswith('W/') else headers.get('Last-Modified', '')
        self._note.write_text(f'{self._source}\n{self._validator}')


def fault(path: Path, checksum: str | None = None, size: int | None = None) -> str | None:
    """What is wrong with a file, or None; the arguments are those of `download`."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f'it has {found} bytes, not {size}'
    if checksum is None:
        return None
    algorithm, _, expected = checksum.partition(':')
    digest = pooch.file_hash(path, algorithm)
    return None if digest == expected.lower() else f'its {algorithm} is {digest}, not {expected.lower()}'


def require_space(folder: Path, needed: int) -> None:
    """Raises DataError unless the disk of `folder` has room for `needed` bytes and a twentieth more (at least 1 MB).

    The margin is there because a disk that is full to the last byte stops everything else.
    """
    margin = max(needed // 20, _MARGIN)
    free = shutil.disk_usage(folder).free
    if free < needed + margin:
        raise DataError(
            f'not enough space in {folder.absolute()}: {needed / 1e6:,.1f} MB are needed and {margin / 1e6:,.1f} MB '
            f'must stay free, but only {free / 1e6:,.1f} MB are free'
        )


def at_mirror(mirror: str, name: str) -> str:
    """The address of a file at a mirror.

    Args:
        mirror: base URL. A query in it, such as a token, stays at the end.
        name: of the file.

    >>> at_mirror('https://host/weights/?token=1', 'a.safetensors')
    'https://host/weights/a.safetensors?token=1'

    Raises:
        ValueError: the base URL is no address.
    """
    parts = urlsplit(mirror)
    return urlunsplit(parts._replace(path=f'{parts.path.rstrip("/")}/{name}'))


def _mirrored(url: str, name: str, variable: str | None) -> tuple[str, str]:
    """(the address to fetch, its scheme); `name` is that of the file at the mirror."""
    mirror = os.environ.get(variable) if variable else None
    try:
        if mirror and urlsplit(url).scheme != 'file':
            url = at_mirror(mirror, name)
        web.split_credentials(url)  # refuses what is no address
        return url, urlsplit(url).scheme
    except ValueError as error:
        raise DataError(f'{web.shown(mirror or url)} is no address: {error}') from None


@contextmanager
def lock(path: str | os.PathLike) -> Iterator[None]:
    """Holds the lock file of `path`, and waits first while another process holds it."""
    held = FileLock(f'{path}.lock')
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f'another process is at work on {path}; waiting for it', file=sys.stderr)
        held.acquire()
    try:
        yield
    finally:
        held.release()
