"""Large downloads that arrive whole, or say why not: resumed, checked, and safe beside a second process.

pooch keeps what is there, checks what comes, and puts it in place; here is how it comes.
"""

import logging
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pooch
from filelock import FileLock, Timeout
from tqdm import tqdm

from a2sg_zoo.errors import DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.files import sync_folder

_RETRIES = 5
# the file in which what has come so far is kept
_BYTES = 'bytes'
# it would advise users to pass the hash to pooch
pooch.get_logger().setLevel(logging.WARNING)


def download(url, path, *, checksum=None, size=None, timeout=30, mirror='A2SG_MIRROR'):
    """Downloads `url` to the file `path`, which appears only whole and checked.

    Until then the bytes collect in the folder `path` + '.part'; a later call goes on from there, if the server still
    has the same file. Failures that may pass (stalls, resets, 5xx) are tried again, with growing pauses, until five in
    a row brought nothing new. A file that is there already is checked, and kept if it is right.

    Args:
        url: http:, https: or file:.
        path: the file to write; its folder is made.
        checksum: 'sha256:HEX', or another algorithm of `hashlib`, such as 'md5:HEX'.
        size: in bytes.
        timeout: seconds to connect in, and seconds without a byte that count as a stall.
        mirror: name of an environment variable. Where it is set, to a base URL, the file is taken from there instead,
            under the last part of its name (file: URLs are not). None for no mirror.

    Returns:
        path, a Path.

    Raises:
        DataError: the file cannot be had, is another than expected, does not fit on the disk, or cannot be written.
    """
    path = Path(path)
    url, scheme = _mirrored(url, mirror)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path):
            if path.is_dir():
                raise DataError(f'{path} is a folder, where the file of {url} should go; move it away')
            if not path.exists() or fault(path, checksum, size):
                folder = path.absolute().with_name(f'{path.name}.part')
                fetch = _copy if scheme == 'file' else _Resuming(folder, url, checksum, size, timeout)
                _retrieve(url, path, folder, checksum, size, fetch)
    except OSError as error:
        raise DataError(
            f'{path} cannot be written: {error.strerror or error}; make space or get access there, or name '
            'another folder (for weights: A2SG_ZOO_CACHE or A2SG_HOME; for data sets: --root), and run '
            'the same again'
        ) from error
    return path


def _retrieve(url, path, folder, checksum, size, fetch):
    """Lets pooch download and check in a folder of its own, where a kill may leave its temporary files, and moves the
    result to `path`."""
    try:
        found = Path(pooch.retrieve(url, checksum, path.name, folder, downloader=fetch))
        wrong = fault(found, size=size)
        if wrong:
            raise ValueError(f'{wrong}. It was deleted.')
        with open(found, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(found, path)
        sync_folder(path.parent)
    except ValueError as error:  # pooch's, of the checksum
        raise DataError(
            f'{url} is not the file it should be: {error} Run the same again; if that does not help, the '
            'file has changed at its source'
        ) from error
    finally:
        if not (folder / _BYTES).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _copy(url, output_file, _):
    """A downloader of pooch, for file: URLs."""
    source = Path(url2pathname(urlsplit(url).path))
    try:
        with open(source, 'rb') as file:
            needed = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        raise DataError(f'{url} cannot be read: {getattr(error, "strerror", None) or error}') from error
    require_space(Path(output_file).parent, needed)
    shutil.copyfile(source, output_file)


class _Resuming:
    """A downloader of pooch that goes on where an earlier one broke off.

    Its folder holds the bytes that have come so far, and a note of what tells whether the server's file is still the
    same.
    """

    def __init__(self, folder, url, checksum, size, timeout):
        self._folder, self._url, self._size, self._timeout = folder, url, size, timeout
        self._bytes, self._note = folder / _BYTES, folder / 'source'
        self._has_checksum = checksum is not None
        source, _, self._validator = self._note.read_text().partition('\n') if self._note.exists() else ('', '', '')
        if source != url:
            self._start_anew()

    @property
    def _have(self):
        return self._bytes.stat().st_size if self._bytes.exists() else 0

    def __call__(self, url, output_file, _):
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
                    kept = f'. What has come so far is kept in {self._folder}; run the same again to go on from there'
                    raise DataError(
                        f'{url} cannot be fetched: {error}. Check the address, or set A2SG_MIRROR (for weights: '
                        f'A2SG_ZOO_MIRROR) to the base URL of a mirror{kept if self._offset() else ""}'
                    ) from error
            time.sleep(2 ** (failures - 1))
        os.replace(self._bytes, output_file)

    def _attempt(self):
        """One request for what is missing.

        Raises:
            WebError
            DataError: the file is another than expected, or does not fit on the disk.
        """
        have = self._offset()
        headers = {'Range': f'bytes={have}-'} if have else {}
        if have and self._validator:
            headers['If-Range'] = self._validator
        with web.get(self._url, self._timeout, headers) as response:
            if response.status_code == 416:  # there are more bytes here than the server has: of another file
                self._start_anew()
            web.require_success(response)
            if not self._name.endswith(('.html', '.htm')):
                web.refuse_web_page(response, self._name)
            if response.status_code != 206 or not response.headers.get('Content-Range', '').startswith(
                f'bytes {have}-'
            ):
                have = 0  # the server sends the whole file
            self._receive(response, have)

    @property
    def _name(self):
        return self._folder.name.removesuffix('.part')

    def _receive(self, response, have):
        coming = web.length(response)
        total = self._size if coming is None else have + coming
        if self._size is not None and total != self._size:
            self._start_anew()
            raise DataError(
                f'{self._url} is not the file it should be: it has {total} bytes, expected are {self._size}'
            )
        if total is not None:
            require_space(self._folder, total - have)
        if not have:
            self._begin(response.headers)
        with (
            open(self._bytes, 'ab' if have else 'wb') as file,
            tqdm(total=total, initial=have, unit='B', unit_scale=True, desc=self._name, disable=None) as bar,
        ):
            for chunk in web.chunks(response, self._timeout):
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and self._have < total:
            raise web.WebError(f'the connection closed after {self._have} of {total} bytes', passing=True)

    def _offset(self):
        """The byte to go on from: 0 where nothing could tell that two halves are of different files."""
        return self._have if self._validator or self._has_checksum else 0

    def _start_anew(self):
        self._validator = ''
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir()

    def _begin(self, headers):
        """Notes the server's validator for a transfer from byte 0; weak ones do not hold for ranges."""
        etag = headers.get('ETag', '')
        self._validator = etag if etag and not etag.startswith('W/') else headers.get('Last-Modified', '')
        self._note.write_text(f'{self._url}\n{self._validator}')


def fault(path, checksum=None, size=None):
    """What is wrong with a file, or None; the arguments are those of `download`."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f'it has {found} bytes, expected are {size}'
    if checksum is None:
        return None
    algorithm, _, expected = checksum.partition(':')
    digest = pooch.file_hash(path, algorithm)
    return None if digest == expected.lower() else f'its {algorithm} is {digest}, expected is {expected.lower()}'


def require_space(folder, needed):
    """Raises DataError unless the disk of `folder` has room for so many bytes, and for a twentieth (at least 1 MB)
    more: a disk that is full to the last byte stops everything else."""
    margin = max(needed // 20, 1_000_000)
    free = shutil.disk_usage(folder).free
    if free < needed + margin:
        raise DataError(
            f'not enough space in {folder.absolute()}: {needed / 1e6:,.1f} MB are needed, and '
            f'{margin / 1e6:,.1f} MB are to stay free, but there are {free / 1e6:,.1f} MB'
        )


def _mirrored(url, variable):
    """(the address to fetch, its scheme)"""
    mirror = os.environ.get(variable) if variable else None
    try:
        parts = urlsplit(url)
        if mirror and parts.scheme != 'file':
            url = f'{mirror.rstrip("/")}/{PurePosixPath(parts.path).name}'
        return url, urlsplit(url).scheme
    except ValueError as error:
        raise DataError(f'{url} is no address: {error}') from error


@contextmanager
def lock(path):
    """Holds the lock file of `path`, after waiting for whoever holds it."""
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
