"""Downloads from servers, disks and processes that misbehave."""

import errno
import hashlib
import multiprocessing
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import HTTPServer

import pytest

import a2sg_zoo.hub.download as module
from a2sg_zoo.errors import DataError
from a2sg_zoo.hub.archives import extract
from a2sg_zoo.hub.download import download
from tests.hub.files import leftovers, make_zip
from tests.hub.misbehaving import CONTENT, Handler

SHA256 = 'sha256:' + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'new' / 'data.zip'


def ranges(server):
    return [headers.get('Range') for _, headers in server.requests]


def test_whole_and_reused(server, path):
    assert download(server.url, path, checksum=SHA256, size=len(CONTENT)) == path
    assert path.read_bytes() == CONTENT and leftovers(path) == ['data.zip']
    download(server.url, path, checksum=SHA256)
    assert len(server.requests) == 1


def test_damaged_file_is_replaced(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1] + b'?')
    download(server.url, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize('checksum', [None, SHA256])
def test_dropped_connection_resumes(server, path, checksum):
    server.acts += ['drop', 'drop']
    download(server.url, path, checksum=checksum)
    assert path.read_bytes() == CONTENT
    assert ranges(server) == [None, 'bytes=100000-', 'bytes=200000-']
    assert server.requests[1][1]['If-Range'] == '"v1"'


def test_next_call_resumes(server, path):
    server.acts += ['drop'] + [500] * 10
    with pytest.raises(DataError, match='500') as error:
        download(server.url, path)
    assert str(path) + '.part' in str(error.value)
    server.acts, server.requests = [], []
    download(server.url, path)
    assert path.read_bytes() == CONTENT and ranges(server) == ['bytes=100000-']


def test_file_that_changed_meanwhile_starts_anew(server, path):
    server.acts += ['drop'] + [500] * 10
    with pytest.raises(DataError):
        download(server.url, path)
    server.acts, server.etag, server.content = [], '"v2"', CONTENT[::-1]
    download(server.url, path)
    assert path.read_bytes() == CONTENT[::-1]


def test_without_validator_and_checksum_starts_anew(server, path):
    server.etag = None
    server.acts += ['drop']
    download(server.url, path)
    assert path.read_bytes() == CONTENT and ranges(server) == [None, None]


def test_server_that_ignores_range(server, path):
    server.acts += ['drop', 'ignore range']
    download(server.url, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT


def test_part_longer_than_the_file_starts_anew(server, path):
    server.acts += ['drop'] + [500] * 10
    with pytest.raises(DataError):
        download(server.url, path)
    server.acts, server.content = [], CONTENT[:50_000]
    download(server.url, path)
    assert path.read_bytes() == CONTENT[:50_000]


def test_passing_server_error(server, path):
    server.acts += [500, 503]
    download(server.url, path)
    assert path.read_bytes() == CONTENT


def test_retries_end(server, path):
    server.acts += ['drop', 'drop'] + [502] * 20
    with pytest.raises(DataError, match='502'):
        download(server.url, path)
    assert len(server.requests) == 2 + module._RETRIES - 1


def test_stall(server, path):
    server.acts += ['stall']
    download(server.url, path, timeout=1)
    assert path.read_bytes() == CONTENT and ranges(server) == [None, 'bytes=100000-']


def test_not_found_fails_at_once(server, path):
    server.acts += [404] * 5
    with pytest.raises(DataError, match='404'):
        download(server.url, path)
    assert len(server.requests) == 1 and leftovers(path) == []


def test_nobody_listens(server, path):
    with pytest.raises(DataError, match='http://127.0.0.1:9/data.zip'):
        download('http://127.0.0.1:9/data.zip', path)


def test_web_page_is_refused(server, path):
    server.acts += ['html']
    with pytest.raises(DataError, match='data.zip'):
        download(server.url, path)
    assert leftovers(path) == []


def test_wrong_checksum(server, path):
    with pytest.raises(DataError, match=f'data.zip.*md5:0{{32}}.*{hashlib.md5(CONTENT).hexdigest()}'):
        download(server.url, path, checksum='md5:' + '0' * 32)
    assert leftovers(path) == []


def test_wrong_size_is_seen_before_the_transfer(server, path):
    with pytest.raises(DataError, match='data.zip.* 300000 .* 5'):
        download(server.url, path, size=5)
    assert leftovers(path) == []


def test_no_space(server, path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10, 9, free))
    free = 1_299_999
    with pytest.raises(DataError, match=f'{path.parent}.* 0.3 MB .* 1.0 MB .* 1.3 MB'):
        download(server.url, path, size=len(CONTENT))
    assert leftovers(path) == []
    free = 1_300_000
    download(server.url, path, size=len(CONTENT))


def test_a_small_disk(server, small_disk):
    path = small_disk / 'data.zip'
    with pytest.raises(DataError, match=str(small_disk)):
        download(server.url, path)
    assert leftovers(path) == []


def test_a_disk_that_others_fill_goes_on_when_there_is_space(server, small_disk, monkeypatch):
    path = small_disk / 'data.zip'
    with monkeypatch.context() as patched:
        patched.setattr(module, 'require_space', lambda folder, needed: None)  # there was space at the start
        with pytest.raises(DataError, match=str(path)):
            download(server.url, path)
    assert leftovers(path) == ['data.zip.part']
    subprocess.run(['mount', '-o', 'remount,size=4m', small_disk], check=True)
    download(server.url, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT and leftovers(path) == ['data.zip']
    assert 100_000 < int(ranges(server)[1].strip('bytes=-')) < len(CONTENT)


@pytest.mark.parametrize(
    'url',
    [
        'ftp://127.0.0.1/data.zip',
        'data.zip',
        'http://',
        'http://[::1/data.zip',
        'http://127.0.0.1:port/data.zip',
        'nonsense:x',
    ],
)
def test_what_is_no_address_is_asked_once(path, monkeypatch, url):
    monkeypatch.setattr('time.sleep', lambda seconds: pytest.fail('it was tried again'))
    with pytest.raises(DataError, match=re.escape(url)) as error:
        download(url, path)
    assert '.part' not in str(error.value) and (not path.parent.exists() or leftovers(path) == [])


def test_a_certificate_that_nobody_signed(path, tmp_path, monkeypatch):
    """It is not tried again, as it would not change."""
    monkeypatch.setattr('time.sleep', lambda seconds: pytest.fail('it was tried again'))
    with self_signed_server(tmp_path) as port, pytest.raises(DataError) as error:
        download(f'https://127.0.0.1:{port}/data.zip', path)
    assert 'REQUESTS_CA_BUNDLE' in str(error.value) and '.part' not in str(error.value)


@contextmanager
def self_signed_server(folder):
    made = (
        shutil.which('openssl')
        and subprocess.run(
            [
                'openssl',
                'req',
                '-x509',
                '-newkey',
                'ec',
                '-pkeyopt',
                'ec_paramgen_curve:P-256',
                '-nodes',
                '-keyout',
                'key',
                '-out',
                'certificate',
                '-subj',
                '/CN=here',
                '-addext',
                'subjectAltName=IP:127.0.0.1',
            ],
            cwd=folder,
            capture_output=True,
        ).returncode
        == 0
    )
    if not made:
        pytest.skip('openssl, which makes the certificate, is not here')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / 'certificate', folder / 'key')
    https = HTTPServer(('127.0.0.1', 0), Handler)
    https.socket = context.wrap_socket(https.socket, server_side=True)
    threading.Thread(target=https.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield https.server_port
    finally:
        https.shutdown()
        https.server_close()


def test_a_server_that_speaks_no_http(server, path):
    server.acts += ['no http'] * 9
    with pytest.raises(DataError, match='SSH-2.0') as error:
        download(server.url, path)
    assert len(server.requests) == 1 and '.part' not in str(error.value)


def test_nothing_kept_is_not_called_kept(server, path):
    server.acts += [500] * 9
    with pytest.raises(DataError) as error:
        download(server.url, path)
    assert '.part' not in str(error.value) and leftovers(path) == []
    server.etag = None  # the part that arrived cannot be resumed
    server.acts = ['drop'] + [500] * 9
    with pytest.raises(DataError) as error:
        download(server.url, path)
    assert '.part' not in str(error.value)


@pytest.mark.parametrize('act', ['bad length', 'no length'])
@pytest.mark.parametrize('size', [None, len(CONTENT)])
def test_no_usable_length(server, path, act, size):
    server.acts += [act]
    download(server.url, path, size=size)
    assert path.read_bytes() == CONTENT


def test_more_than_expected(server, path):
    server.acts += ['no length']
    with pytest.raises(DataError, match='data.zip.* 5'):
        download(server.url, path, size=5)
    assert leftovers(path) == []


def test_a_route_that_is_lost_is_not_the_fault_of_the_disk(server, path, monkeypatch):
    read, failures = socket.SocketIO.readinto, [OSError(errno.EHOSTUNREACH, 'No route to host')]

    def readinto(self, buffer):
        if failures and threading.current_thread() is threading.main_thread() and self._sock.fileno() in started:
            raise failures.pop()
        started.add(self._sock.fileno())
        return read(self, buffer)

    started = set()
    monkeypatch.setattr(socket.SocketIO, 'readinto', readinto)
    download(server.url, path)
    assert path.read_bytes() == CONTENT and failures == [] and len(server.requests) == 2


def test_a_folder_in_place_of_the_file(server, path):
    path.mkdir(parents=True)
    with pytest.raises(DataError, match=str(path)):
        download(server.url, path)
    assert server.requests == []


def test_a_file_in_place_of_the_folder(server, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match='data.zip'):
        download(server.url, tmp_path / 'file' / 'deep' / 'data.zip')
    with pytest.raises(DataError, match='deep/set'):
        extract(make_zip(tmp_path / 'a.zip', {'1': '1'}), tmp_path / 'file' / 'deep' / 'set')


def test_addresses_are_quoted(server, path):
    download(server.url.replace('data.zip', 'größe 1/data%20set.zip'), path)
    assert server.requests[0][0] == '/files/gr%C3%B6%C3%9Fe%201/data%20set.zip'


def test_a_kill_leaves_nothing_beside_the_part(server, path):
    server.acts += ['stall']
    process = multiprocessing.get_context('fork').Process(target=download, args=(server.url, path))
    process.start()
    kept = path.with_name('data.zip.part') / 'bytes'
    deadline = time.monotonic() + 50
    while not (kept.exists() and kept.stat().st_size) and time.monotonic() < deadline:
        server.over.wait(0.01)
    process.kill()
    process.join()
    assert leftovers(path) == ['data.zip.part']
    download(server.url, path)
    assert path.read_bytes() == CONTENT and leftovers(path) == ['data.zip']


def test_two_processes(server, path):
    server.acts += ['slow']
    context = multiprocessing.get_context('fork')
    processes = [
        context.Process(target=download, args=(server.url, path), kwargs=dict(checksum=SHA256)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert path.read_bytes() == CONTENT and len(server.requests) == 1


def test_mirror(server, path, monkeypatch):
    monkeypatch.setenv('A2SG_MIRROR', server.url.removesuffix('/files/data.zip') + '/mirror/')
    download('https://example.invalid/deep/down/data.zip', path)
    download('https://example.invalid/deep/file_downloaded', path.with_name('train.zip'))
    assert [request[0] for request in server.requests] == ['/mirror/data.zip', '/mirror/train.zip']


def test_file_url(tmp_path, path, monkeypatch):
    monkeypatch.setenv('A2SG_MIRROR', 'http://example.invalid')
    (tmp_path / 'there.bin').write_bytes(CONTENT)
    download((tmp_path / 'there.bin').as_uri(), path, checksum=SHA256)
    assert path.read_bytes() == CONTENT
    with pytest.raises(DataError, match='absent'):
        download((tmp_path / 'absent').as_uri(), tmp_path / 'x')
