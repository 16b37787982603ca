"""Downloads from servers, disks and processes that misbehave."""

import base64
import errno
import hashlib
import importlib.util
import multiprocessing
import re
import shutil
import socket
import ssl
import string
import subprocess
import threading
import time
import traceback
import zipfile
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import a2sg_zoo.hub.download as module
from a2sg_zoo.errors import DataError
from a2sg_zoo.hub import web
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
    assert server.requests[0][0] == '/mirror/data.zip'


def test_file_url(tmp_path, path, monkeypatch):
    monkeypatch.setenv('A2SG_MIRROR', 'http://example.invalid')
    (tmp_path / 'there.bin').write_bytes(CONTENT)
    download((tmp_path / 'there.bin').as_uri(), path, checksum=SHA256)
    assert path.read_bytes() == CONTENT
    with pytest.raises(DataError, match='absent'):
        download((tmp_path / 'absent').as_uri(), tmp_path / 'x')


# answers that do not end


@pytest.mark.parametrize('act', ['endless', 'endless chunks', 'too much', 'chunked too much'])
@pytest.mark.parametrize('kept', [0, 100_000, 300_001, 5_000_000], ids='{} bytes kept'.format)
def test_an_answer_that_does_not_end_stops_at_the_expected_size(server, path, act, kept):
    part = path.with_name('data.zip.part')
    if kept:
        server.acts += ['drop', 404]
        with pytest.raises(DataError):
            download(server.url, path, size=len(CONTENT), checksum=SHA256)
        with open(part / 'bytes', 'r+b') as file:  # as a killed process, or an older version, may have left it
            file.truncate(kept)
    server.acts, server.sent = [act], 0
    with pytest.raises(DataError, match=f'data.zip.* {len(CONTENT)}'):
        download(server.url, path, size=len(CONTENT), checksum=SHA256)
    assert leftovers(path) == []
    assert server.sent < len(CONTENT) + 8_000_000  # what the buffers of the system hold is sent too
    download(server.url, path, size=len(CONTENT), checksum=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize('act', ['endless', 'endless chunks'])
def test_an_answer_of_unknown_size_is_bounded(server, path, act, monkeypatch):
    monkeypatch.setattr(module, 'LARGEST_UNKNOWN', 2_000_000)
    server.acts += [act]
    with pytest.raises(DataError, match='data.zip.* 2000000'):
        download(server.url, path)
    assert leftovers(path) == [] and server.sent < 2_000_000 + 8_000_000
    download(server.url, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize('act', ['endless', 'endless chunks'])
def test_an_answer_of_unknown_size_does_not_fill_the_disk(server, small_disk, act):
    subprocess.run(['mount', '-o', 'remount,size=4m', small_disk], check=True)
    path = small_disk / 'data.zip'
    server.acts += [act]
    with pytest.raises(DataError, match='data.zip'):
        download(server.url, path)
    assert leftovers(path) == [] and shutil.disk_usage(small_disk).free > 3_500_000
    download(server.url, path)
    assert path.read_bytes() == CONTENT


# credentials


SECRETS = ('me%40home', 'me@home', 'hunter2', 't0ken')


def with_login(url):
    return url.replace('http://', 'http://me%40home:hunter2@') + '?token=t0ken'


@pytest.mark.parametrize(
    'acts, size',
    [
        ([404], None),
        ([500] * 9, None),
        (['drop'] + [500] * 9, None),
        (['html'], None),
        (['no http'], None),
        (['silent'] * 9, None),
        (['serve'], 5),
        (['endless chunks'], 5),
        (['drop', 'no length'], 5_000_000),
        (['redirect'] * 99, None),
    ],
    ids=str,
)
def test_credentials_are_in_no_error_and_no_file(server, path, acts, size, caplog, capfd, monkeypatch):
    server.acts += acts
    with pytest.raises(DataError, match='data.zip') as error:
        download(with_login(server.url), path, size=size, timeout=0.5)
    request, headers = server.requests[0]
    assert headers['Authorization'] == 'Basic ' + base64.b64encode(b'me@home:hunter2').decode()
    assert request.endswith('?token=t0ken')
    assert_secret(error.value, caplog.text, *capfd.readouterr(), *everything_under(path.parent))


@pytest.mark.parametrize(
    'url',
    [
        'http://me%40home:hunter2@[::1/data.zip?t0ken',
        'http://me%40home:hunter2@host:port/data.zip?t0ken',
        'http://me%40home:hunter2@/data.zip?t0ken',
        'ftp://me%40home:hunter2@host/data.zip?t0ken',
        'http://me%40home:hunt/er2hunter2@host/data.zip?t0ken',
        'http://me%40home:hunt?er2hunter2@127.0.0.1/data.zip',
        'http://me%40home:hunter2@127.0.0.1:9/data.zip?t0ken',
        'http://me%40home:hunter2@ho st/data.zip?t0ken',
    ],
)
def test_credentials_in_what_is_no_address(server, path, url):
    with pytest.raises(DataError) as error:
        download(url, path, timeout=0.5)
    assert_secret(error.value)


def test_credentials_of_a_mirror_and_of_a_proxy(server, path, monkeypatch):
    server.acts += [404]
    monkeypatch.setenv('A2SG_MIRROR', with_login(server.url.removesuffix('/data.zip')))
    with pytest.raises(DataError) as error:
        download('https://example.invalid/deep/data.zip', path)
    assert server.requests[0][0] == '/files/data.zip?token=t0ken' and 'Authorization' in server.requests[0][1]
    assert_secret(error.value)
    monkeypatch.delenv('A2SG_MIRROR')
    for proxy in ('http://me%40home:hunter2@127.0.0.1:9', 'http://me%40home:hunter2@127.0.0.1:port'):
        for scheme in ('http', 'https'):
            monkeypatch.setenv(f'{scheme}_proxy', proxy)
            with pytest.raises(DataError) as error:
                download(f'{scheme}://example.invalid/data.zip', path)
            assert_secret(error.value)


def test_a_part_is_resumed_under_another_login(server, path):
    server.acts += ['drop'] + [500] * 9
    with pytest.raises(DataError):
        download(with_login(server.url), path)
    server.acts, server.requests = [], []
    download(with_login(server.url).replace('hunter2', 'hunter3'), path)
    assert path.read_bytes() == CONTENT and ranges(server) == ['bytes=100000-']


def assert_secret(*texts):
    for text in texts:
        if isinstance(text, BaseException):  # what A2SG_DEBUG=1 shows
            text = ''.join(traceback.format_exception(text))
            text = '\n'.join(line for line in text.splitlines() if '.py"' not in line and not line.startswith('    '))
        assert not any(secret in text for secret in SECRETS), text


def everything_under(folder):
    return [path.read_bytes().decode('latin-1') for path in folder.rglob('*') if path.is_file()]


@given(
    user=st.text(string.ascii_letters, min_size=1),
    password=st.text(string.ascii_letters + string.digits + ":%!$&'()*+,;=-._~", min_size=1),
    host=st.sampled_from(['host', 'host:80', '[::1]', '[::1]:80', '']),
    rest=st.sampled_from(['', '/a', '/@me/a', '/a?x=1@2', '?x', '#x', '/a?b#c']),
)
def test_addresses_are_shown_without_credentials(user, password, host, rest):
    plain = web.shown(f'https://{host}{rest}')
    assert web.shown(f'https://{user}:{password}@{host}{rest}') == plain
    assert plain == f'https://{host}{rest}'.partition('?')[0] + ('?...' if '?' in rest else '')


@pytest.fixture
def tool():
    file = Path(__file__).parents[2] / 'a2sg_zoo' / 'cli' / 'download_dataset.py'
    spec = importlib.util.spec_from_file_location('download_dataset', file)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_tool(server, tool, tmp_path, monkeypatch, capsys):
    archive = make_zip(tmp_path / 'a.zip', {'Set/images/training/1.jpg': 'one'})
    server.content = archive.read_bytes()
    source = tool.Source(
        server.url, len(server.content), 'sha1:' + hashlib.sha1(server.content).hexdigest(), 'unused', 'Set', 'a set'
    )
    monkeypatch.setitem(tool.SOURCES, 'tiny', source)
    for _ in range(2):
        tool.main(['tiny', '--root', str(tmp_path / 'ade')])
        assert str(tmp_path / 'ade' / 'Set') in capsys.readouterr().out
    assert (tmp_path / 'ade' / 'Set' / 'images' / 'training' / '1.jpg').read_text() == 'one'
    assert leftovers(tmp_path / 'ade' / 'Set') == ['Set'] and len(server.requests) == 1


def test_tool_unpacks_archives_in_archives(server, tool, tmp_path, monkeypatch):
    inner = [make_zip(tmp_path / f'{name}.zip', {f'{name}/1.aedat4': name}) for name in ('cat', 'dog')]
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as file:
        for archive in inner:
            file.write(archive, archive.name)
    server.content = (tmp_path / 'all.zip').read_bytes()
    source = tool.Source(
        server.url, None, 'md5:' + hashlib.md5(server.content).hexdigest(), 'unused', 'Set', 'a set', nested=True
    )
    monkeypatch.setitem(tool.SOURCES, 'tiny', source)
    tool.main(['tiny', '--root', str(tmp_path / 'data')])
    (tmp_path / 'data' / 'Set' / 'cat.zip').write_bytes(inner[0].read_bytes())  # a kill left one
    shutil.rmtree(tmp_path / 'data' / 'Set' / 'cat')
    tool.main(['tiny', '--root', str(tmp_path / 'data')])
    assert sorted(
        str(p.relative_to(tmp_path / 'data' / 'Set'))
        for p in (tmp_path / 'data' / 'Set').rglob('*.*')
        if p.suffix != '.lock'
    ) == ['cat/1.aedat4', 'dog/1.aedat4']


def test_tool_lists_and_reports(tool, server, tmp_path, monkeypatch, capsys):
    tool.main(['--list'])
    assert 'ade20k  967 MB' in capsys.readouterr().out
    server.acts += [404]
    monkeypatch.setenv('A2SG_MIRROR', server.url.removesuffix('/data.zip'))
    with pytest.raises(SystemExit) as end:
        tool.main(['ade20k', '--root', str(tmp_path)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and 'ADEChallengeData2016.zip' in said and '404' in said
    with pytest.raises(SystemExit):
        tool.main([])
