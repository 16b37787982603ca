"""Downloads: answers that do not end, and credentials that no file and no message shows."""

import base64
import hashlib
import shutil
import string
import subprocess
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

import a2sg_zoo.hub.download as module
from a2sg_zoo.errors import DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.download import download
from tests.hub.files import leftovers
from tests.hub.misbehaving import CONTENT

SHA256 = 'sha256:' + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'new' / 'data.zip'


def ranges(server):
    return [headers.get('Range') for _, headers in server.requests]


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
