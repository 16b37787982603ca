"""Large downloads that arrive whole, or say why not: resumed, checked, and safe beside a second process."""

import hashlib
import http.client
import os
import shutil
import ssl
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from tqdm import tqdm

from a2sg_zoo.errors import DataError

_CHUNK = 1 << 20
# what stays free on the disk, so that a download does not stop everything else
_MARGIN = 100 << 20
_RETRIES = 5


class _Transient(Exception):
    """A failure that may pass: the message says what failed."""


def download(url, path, *, checksum=None, size=None, timeout=30, mirror='A2SG_MIRROR'):
    """Downloads `url` to the file `path`, which appears only whole and checked.

    Until then the bytes collect in `path` + '.part'; a later call goes on from there, if the server still has the
    same file. Failures that may pass (stalls, resets, 5xx) are tried again, with growing pauses, until five in a
    row brought nothing new. A file that is there already is checked, and kept if it is right.

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
        DataError: the file cannot be had, is another than expected, or does not fit on the disk.
    """
    path = Path(path)
    url = _mirrored(url, mirror)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path):
        if path.exists() and fault(path, checksum, size) is None:
            return path
        part = _Part(path, url, checksum)
        failures, most = 0, part.length()
        while size is None or part.offset() != size:
            try:
                _fetch(url, part, size, timeout)
                break
            except _Transient as error:
                failures = 1 if part.length() > most else failures + 1
                most = max(most, part.length())
                if failures == _RETRIES:
                    raise DataError(f'{url} cannot be fetched: {error}. What has come so far is kept in {part.path}; '
                                    'run the same again to go on from there') from error
                time.sleep(2 ** (failures - 1))
        wrong = fault(part.path, checksum, size)
        if wrong:
            part.remove()
            raise DataError(f'{url} is not the file it should be: {wrong}. The download was removed; run the same '
                            'again, and if that does not help, the file has changed at its source')
        part.finish()
    return path


class _Part:
    """The file in which a download collects, and beside it what tells whether the server's file is still the same."""

    def __init__(self, path, url, checksum):
        self.target = path
        self.path = path.with_name(path.name + '.part')
        self._note = path.with_name(path.name + '.part.source')
        source, _, self.validator = self._note.read_text().partition('\n') if self._note.exists() else ('', '', '')
        self._checked = checksum is not None
        if source != url:
            self.remove()
            self.validator = ''

    def length(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def offset(self):
        """The byte to go on from: 0 where nothing could tell that two halves are of different files."""
        return self.length() if self.validator or self._checked else 0

    def begin(self, url, headers):
        """Notes the server's validator for a transfer from byte 0; weak ones do not hold for ranges."""
        etag = headers.get('ETag', '')
        self.validator = etag if etag and not etag.startswith('W/') else headers.get('Last-Modified', '')
        self._note.write_text(f'{url}\n{self.validator}')

    def finish(self):
        with open(self.path, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)
        if os.name == 'posix':  # the new name is safe once its folder is
            folder = os.open(self.target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def remove(self):
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _fetch(url, part, size, timeout):
    """One attempt to bring `part` to its full length; a failure that may pass is raised as `_Transient`."""
    have = part.offset()
    request = Request(url, headers={'User-Agent': 'a2sg_zoo', 'Accept-Encoding': 'identity'})
    if have:
        request.add_header('Range', f'bytes={have}-')
        if part.validator:
            request.add_header('If-Range', part.validator)
    try:
        with urlopen(request, timeout=timeout) as response:
            _receive(response, url, part, size, have)
    except HTTPError as error:
        if error.code == 416:  # the part is longer than the server's file, so of another one
            part.remove()
        elif error.code < 500 and error.code not in (408, 429):
            raise DataError(f'{url} cannot be fetched: the server answers {error.code} {error.reason}. Check the '
                            'address, or set A2SG_MIRROR (for weights: A2SG_ZOO_MIRROR) to the base URL of a '
                            'mirror') from error
        raise _Transient(f'the server answers {error.code} {error.reason}') from error
    except URLError as error:
        if urlsplit(url).scheme == 'file':
            raise DataError(f'{url} cannot be read: {error.reason}') from error
        raise _Transient(f'no connection ({error.reason})') from error
    except TimeoutError as error:
        raise _Transient(f'nothing came for {timeout} s') from error
    except (ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise _Transient(f'the connection broke ({error!r})') from error
    except OSError as error:
        raise DataError(f'{part.path} cannot be written: {error.strerror or error}') from error


def _receive(response, url, part, size, have):
    if response.headers.get_content_type() == 'text/html' and not part.target.name.endswith(('.html', '.htm')):
        raise DataError(f'{url} answers with a web page where {part.target.name} is expected; open it in a browser: '
                        'it may ask for a login, or tell of a move')
    if have and not (response.status == 206
                     and response.headers.get('Content-Range', '').startswith(f'bytes {have}-')):
        have = 0  # the server sends the whole file
    length = response.headers.get('Content-Length')
    total = have + int(length) if length else size
    if size is not None and total != size:
        part.remove()
        raise DataError(f'{url} is not the file it should be: it has {total} bytes, expected are {size}')
    if total is not None:
        _require_space(part.target.parent, total - have)
    if not have:
        part.begin(url, response.headers)
    with open(part.path, 'ab' if have else 'wb') as file, tqdm(
            total=total, initial=have, unit='B', unit_scale=True, desc=part.target.name, disable=None) as bar:
        # read1 hands over what is there, so nothing is lost when the connection breaks
        while chunk := response.read1(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and part.length() != total:
        raise _Transient(f'the connection closed after {part.length()} of {total} bytes')


def extract(archive, into):
    """Unpacks a zip or tar file as the folder `into`, which appears only whole; if it exists, it is kept.

    An archive that holds nothing but one folder of the name of `into` is not nested in a second one.

    Returns:
        into, a Path.

    Raises:
        DataError: the archive is damaged, does not fit on the disk, or has members that would land elsewhere.
    """
    into = Path(into)
    into.parent.mkdir(parents=True, exist_ok=True)
    with lock(into):
        if into.exists():
            return into
        part = into.with_name(into.name + '.part')
        if part.exists():  # of a process that was killed: whoever is alive and unpacks holds the lock
            shutil.rmtree(part)
        try:
            with _opened(archive) as (members, extract_member):
                for member in members:
                    _refuse_stray(archive, member)
                _require_space(into.parent, sum(member.size for member in members))
                part.mkdir()
                for member in tqdm(members, unit='file', desc=into.name, disable=None):
                    extract_member(member.name, part)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, OSError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise DataError(f'{archive} cannot be unpacked ({error}); remove it and fetch it again') from error
        tops = {PurePosixPath(member.name).parts[0] for member in members}
        os.rename(part / into.name if tops == {into.name} else part, into)
        shutil.rmtree(part, ignore_errors=True)
    return into


class _Member(NamedTuple):
    name: str
    size: int
    plain: bool  # a file or a folder, not a link or a device


@contextmanager
def _opened(archive):
    """(members, extract(name, folder)) of a zip or tar file; both formats check their sums in reading."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield [_Member(m.filename, m.file_size, not stat.S_ISLNK(m.external_attr >> 16))
                   for m in file.infolist()], file.extract
    else:
        with tarfile.open(archive) as file:
            if hasattr(tarfile, 'data_filter'):  # from Python 3.10.12 and 3.11.4 on
                file.extraction_filter = tarfile.data_filter
            yield [_Member(m.name, m.size, m.isfile() or m.isdir()) for m in file.getmembers()], file.extract
            while file.fileobj.read(_CHUNK):  # to the end, where the sum of the compressed stream is
                pass


def _refuse_stray(archive, member):
    name = member.name
    if name.startswith('/') or '\\' in name or ':' in name or '..' in PurePosixPath(name).parts:
        raise DataError(f'{archive} is not safe to unpack: its member {name!r} would land outside the folder')
    if not member.plain:
        raise DataError(f'{archive} is not safe to unpack: its member {name!r} is a link or a device')


def fault(path, checksum=None, size=None):
    """What is wrong with a file, or None; the arguments are those of `download`."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f'it has {found} bytes, expected are {size}'
    if checksum is None:
        return None
    algorithm, _, expected = checksum.partition(':')
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        return f'its {algorithm} is {digest.hexdigest()}, expected is {expected.lower()}'
    return None


def _require_space(folder, needed):
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise DataError(f'not enough space in {folder.absolute()}: {needed / 1e6:,.0f} MB are needed, and '
                        f'{_MARGIN / 1e6:,.0f} MB are to stay free, but there are {free / 1e6:,.0f} MB')


def _mirrored(url, variable):
    mirror = os.environ.get(variable) if variable else None
    parts = urlsplit(url)
    if mirror and parts.scheme != 'file':
        return f'{mirror.rstrip("/")}/{PurePosixPath(parts.path).name}'
    return url


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
