"""Weights by name from servers, disks and caches that misbehave."""

import hashlib
import importlib.util
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path

import pytest

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub import download
from a2sg_zoo.hub.index import write_index
from a2sg_zoo.hub.pretrained import locate, pretrained_file
from tests.hub.misbehaving import CONTENT
from tests.hub.tiny import facts, publish

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('A2SG_ZOO_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def index(server, cache, tmp_path, monkeypatch):
    """An index with one entry, `tiny`, on the server."""
    server.url = server.url.replace('data.zip', 'tiny.safetensors')
    (tmp_path / 'original').write_bytes(server.content)
    write_index({'tiny': facts(tmp_path / 'original', server.url)}, tmp_path / 'index.json')
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    monkeypatch.setattr(download, 'download', partial(download.download, timeout=1))
    monkeypatch.setattr('a2sg_zoo.hub.pretrained.download', partial(download.download, timeout=1))
    return tmp_path / 'index.json'


def change(index, **fields):
    contents = json.loads(index.read_text())
    contents['models']['tiny'].update(fields)
    index.write_text(json.dumps(contents))


def kept(cache):
    return sorted(path.name for path in cache.rglob('*') if path.suffix != '.lock') if cache.exists() else []


def process(before='', **kwargs):
    """Another process that runs the lines `before`, fetches `tiny`, and prints the path or the error."""
    code = f"""import os
from a2sg_zoo.hub.pretrained import CheckpointError, pretrained_file
{before}
try: print(pretrained_file('tiny'))
except CheckpointError as error: print(error)"""
    return subprocess.Popen(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


@pytest.fixture
def fetch_as_anyone(index, monkeypatch):
    """(what a process without privileges prints that fetches `tiny`, its cache): a superuser may go anywhere."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folder is for its user alone
        folder = Path(folder)
        folder.chmod(0o755)
        (folder / 'cache').mkdir()
        shutil.copy(index, folder / 'index.json')
        monkeypatch.setenv('A2SG_ZOO_INDEX', str(folder / 'index.json'))
        monkeypatch.setenv('A2SG_ZOO_CACHE', str(folder / 'cache'))
        # another user cannot write what `make coverage` measures
        monkeypatch.delenv('COVERAGE_PROCESS_CONFIG', raising=False)

        def fetch_there():
            printed, stderr = process('os.geteuid() or os.setuid(65534)').communicate(timeout=60)
            assert 'Traceback' not in stderr, stderr
            return printed.strip()

        yield fetch_there, folder / 'cache'
        (folder / 'cache').chmod(0o700)


def test_downloaded_once(index, server, cache):
    path = pretrained_file('tiny')
    assert path.read_bytes() == CONTENT and path.parent == cache
    assert path.name == f'tiny-{hashlib.sha256(CONTENT).hexdigest()[:8]}.safetensors'
    assert pretrained_file('tiny') == path and len(server.requests) == 1 and kept(cache) == [path.name]


def test_a_damaged_file_in_the_cache_is_replaced(index, server):
    pretrained_file('tiny').write_bytes(CONTENT[:-1] + b'?')
    assert pretrained_file('tiny').read_bytes() == CONTENT and len(server.requests) == 2


def test_new_weights_under_an_old_name(index, server, cache):
    old = pretrained_file('tiny')
    server.content = CONTENT[::-1]
    change(index, sha256=hashlib.sha256(server.content).hexdigest())
    assert pretrained_file('tiny').read_bytes() == CONTENT[::-1] and old.read_bytes() == CONTENT


@pytest.mark.parametrize('acts', [['drop'], ['stall'], [500, 503], ['drop', 'stall', 502]])
def test_failures_that_pass(index, server, acts):
    server.acts += acts
    assert pretrained_file('tiny').read_bytes() == CONTENT
    transfers = sum(isinstance(act, str) for act in acts)
    assert [headers.get('Range') for _, headers in server.requests][-1] == (
        f'bytes={transfers}00000-' if transfers else None
    )


@pytest.mark.parametrize(
    'acts, named',
    [
        ([404], '404.*A2SG_ZOO_MIRROR'),
        ([500] * 9, '500'),
        (['html'], 'tiny-[0-9a-f]{8}.safetensors'),
        (['silent'] * 9, '1 s'),
    ],
)
def test_failures_that_last(index, server, cache, acts, named):
    server.acts += acts
    with pytest.raises(CheckpointError, match=f'tiny.*{named}'):
        pretrained_file('tiny')
    assert not any(name.endswith('.safetensors') for name in kept(cache))


def test_wrong_checksum(index, cache):
    change(index, sha256='0' * 64)
    with pytest.raises(CheckpointError, match='tiny.*sha256:0{64}.*[0-9a-f]{64}'):
        pretrained_file('tiny')
    assert kept(cache) == []


def test_a_file_cut_short_at_its_source(index, server, cache):
    server.content = CONTENT[:200_000]
    with pytest.raises(CheckpointError, match='tiny.* 200000 .* 300000'):
        pretrained_file('tiny')
    assert kept(cache) == []


def test_no_network(index, cache):
    change(index, location='http://127.0.0.1:9/tiny.safetensors')
    with pytest.raises(CheckpointError, match='tiny.*http://127.0.0.1:9/'):
        pretrained_file('tiny')


def test_offline(index, server, cache, monkeypatch):
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='tiny.*A2SG_ZOO_OFFLINE'):
        pretrained_file('tiny')
    assert server.requests == []
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '0')
    path = pretrained_file('tiny')
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    assert pretrained_file('tiny') == path and len(server.requests) == 1


def test_mirror(index, server, cache, tmp_path, monkeypatch):
    for location in ('https://example.invalid/deep/a.safetensors', 'hf:me/repo/deep/a.safetensors@v1'):
        change(index, location=location)
        monkeypatch.setenv('A2SG_ZOO_MIRROR', server.url.removesuffix('/files/tiny.safetensors') + '/mirror/')
        pretrained_file('tiny').unlink()
        assert server.requests.pop()[0] == '/mirror/a.safetensors'
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror' / 'a.safetensors').write_bytes(CONTENT)
    monkeypatch.setenv('A2SG_ZOO_MIRROR', (tmp_path / 'mirror').as_uri())
    assert pretrained_file('tiny').read_bytes() == CONTENT and server.requests == []


def test_credentials_of_a_mirror_stay_in_the_request(index, server, cache, monkeypatch, caplog, capfd):
    base = server.url.removesuffix('/files/tiny.safetensors').replace('http://', 'http://me:hunter2@')
    monkeypatch.setenv('A2SG_ZOO_MIRROR', f'{base}/mirror/?token=t0ken')
    server.acts += ['drop', 404]
    with pytest.raises(CheckpointError, match='tiny') as error:
        pretrained_file('tiny')
    assert all('Authorization' in headers and path.endswith('?token=t0ken') for path, headers in server.requests)
    kept_text = [path.read_bytes().decode('latin-1') for path in cache.rglob('*') if path.is_file()]
    said = [''.join(traceback.format_exception(error.value)), caplog.text, *capfd.readouterr(), *kept_text]
    # the last lines of a traceback are the messages; those above quote this test's source
    said[0] = '\n'.join(line for line in said[0].splitlines() if line.startswith('a2sg_zoo.'))
    assert not any(secret in text for text in said for secret in ('hunter2', 't0ken'))
    assert pretrained_file('tiny').read_bytes() == CONTENT


@pytest.mark.parametrize('mirror', ['http://me:hunter2@[::1', 'http://me:hunt/er2hunter2@host', 'me:hunter2@host//x'])
def test_credentials_of_what_is_no_mirror(index, cache, monkeypatch, mirror):
    monkeypatch.setenv('A2SG_ZOO_MIRROR', mirror)
    with pytest.raises(CheckpointError, match='tiny') as error:
        pretrained_file('tiny')
    assert 'hunter2' not in str(error.value)


@pytest.mark.parametrize('act', ['endless', 'endless chunks', 'chunked too much'])
def test_an_answer_that_does_not_end(index, server, cache, act):
    server.acts += [act]
    with pytest.raises(CheckpointError, match=f'tiny.* {len(CONTENT)} '):
        pretrained_file('tiny')
    assert server.sent < len(CONTENT) + 8_000_000 and kept(cache) == []
    assert pretrained_file('tiny').read_bytes() == CONTENT


def test_a_home_folder_of_nobody(index, monkeypatch):
    for variable in ('A2SG_ZOO_CACHE', 'A2SG_HOME'):
        monkeypatch.setenv(variable, '~nobody-here/cache')
        with pytest.raises(ConfigError, match='~nobody-here'):
            pretrained_file('tiny')
        with pytest.raises(ConfigError, match='~nobody-here'):
            locate('~nobody-here/x.pth')
        monkeypatch.delenv(variable)


def test_files_on_a_disk_are_used_where_they_are(index, server, cache, tmp_path):
    path = tmp_path / 'with space.safetensors'
    path.write_bytes(CONTENT)
    change(index, location=path.as_uri())
    assert pretrained_file('tiny') == path and not cache.exists() and server.requests == []
    path.write_bytes(CONTENT[:-5])
    with pytest.raises(CheckpointError, match='tiny.*with space.safetensors.* 299995 '):
        pretrained_file('tiny')
    path.unlink()
    with pytest.raises(CheckpointError, match='tiny.*with space.safetensors'):
        pretrained_file('tiny')


def test_a_cache_that_cannot_be_written(index, server, cache, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('A2SG_ZOO_CACHE', str(tmp_path / 'file' / 'cache'))
    with pytest.raises(CheckpointError, match='tiny.*A2SG_ZOO_CACHE'):
        pretrained_file('tiny')
    assert server.requests == []


def test_a_read_only_cache_that_has_the_file_serves_it(fetch_as_anyone, server):
    fetch_there, cache = fetch_as_anyone
    path = pretrained_file('tiny')
    cache.chmod(0o555)
    before = kept(cache)
    assert fetch_there() == str(path) and len(server.requests) == 1 and kept(cache) == before


@pytest.mark.parametrize('mode', [0o555, 0o000])
def test_a_cache_that_is_forbidden(fetch_as_anyone, server, mode):
    fetch_there, cache = fetch_as_anyone
    cache.chmod(mode)
    assert re.search(f'tiny.*{cache}.*A2SG_ZOO_CACHE', fetch_there()) and server.requests == []


def test_a_cache_on_a_full_disk(index, small_disk, monkeypatch):
    monkeypatch.setenv('A2SG_ZOO_CACHE', str(small_disk))
    with pytest.raises(CheckpointError, match=f'tiny.*{small_disk}'):
        pretrained_file('tiny')
    assert kept(small_disk) == []


def test_a_folder_of_the_name_does_not_hide_the_weights(index, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny').mkdir()
    assert locate('tiny') == pretrained_file('tiny')
    (tmp_path / 'tiny').rmdir()
    (tmp_path / 'tiny').write_bytes(b'mine')
    assert locate('tiny') == Path('tiny') and locate('zoo:tiny') == pretrained_file('tiny')


@pytest.mark.parametrize('name', ['../../evil', '/etc/evil', '..', 'a/../../b'])
def test_names_do_not_climb_out_of_the_cache(index, cache, name):
    with pytest.raises(ConfigError, match=re.escape(name)):
        pretrained_file(name)
    contents = json.loads(index.read_text())
    contents['models'][name] = contents['models'].pop('tiny')
    index.write_text(json.dumps(contents))
    with pytest.raises(ConfigError, match=re.escape(name)):
        pretrained_file(name)


def test_a_pickle_with_code(index, server, tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / 'trace'), 'w')

    server.content = pickle.dumps(Evil())
    change(index, size=len(server.content), sha256=hashlib.sha256(server.content).hexdigest())
    with pytest.raises(CheckpointError, match='tiny.*safetensors'):
        a2sg_zoo.get_model('tiny')
    assert not (tmp_path / 'trace').exists()


def test_the_disk_is_full(index, cache):
    """The system refuses to let a file grow beyond 100,000 bytes."""
    full = process(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    printed, stderr = full.communicate(timeout=60)
    assert 'tiny' in printed and str(cache) in printed, stderr
    assert not any(name.endswith('.safetensors') for name in kept(cache))
    assert pretrained_file('tiny').read_bytes() == CONTENT


def test_two_processes(index, server, cache):
    server.acts += ['slow']
    processes = [process() for _ in range(2)]
    (printed,) = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert Path(printed).read_bytes() == CONTENT and len(server.requests) == 1


def test_tool(index, server, cache, capsys):
    spec = importlib.util.spec_from_file_location('download_tool', ROOT / 'a2sg_zoo' / 'cli' / 'download.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main(['--list', 'T*'])
    assert capsys.readouterr().out == 'tiny  0.3 MB  A tiny network.\n'
    with pytest.raises(SystemExit) as end:
        tool.main(['--list', 'resnet*'])
    assert end.value.code == 1 and 'tiny' in capsys.readouterr().err
    for arguments, message in (
        (['tiny', 'tinny'], 'error: the zoo has no weights named .*did you mean tiny?'),
        ([], 'name the weights'),
    ):
        with pytest.raises(SystemExit) as end:
            tool.main(arguments)
        assert end.value.code == 2 and re.search(message, capsys.readouterr().err)
    assert server.requests == []
    tool.main(['tiny'])
    assert Path(capsys.readouterr().out.removeprefix('tiny: ').strip()).read_bytes() == CONTENT


def test_tool_lists_without_torch(index):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "sys.exit('torch' in sys.modules)"
    )
    listed = subprocess.run(
        [sys.executable, '-c', code, ROOT / 'tools' / 'download.py', '--list'],
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
    )
    assert listed.returncode == 0 and listed.stdout.startswith('tiny'), listed.stderr


def test_shipped_weights(cache, tmp_path, monkeypatch):
    _, path, index = publish(tmp_path)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    assert pretrained_file('tiny') == path and not cache.exists()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f'tiny.*{path}.*{hashlib.sha256(data).hexdigest()}'):
        a2sg_zoo.get_model('tiny')


def test_hub_is_an_extra(index, monkeypatch):
    change(index, location='hf:me/repo/tiny.safetensors')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(CheckpointError, match=r'pip install "a2sg-zoo\[hub\]"'):
        pretrained_file('tiny')


@pytest.mark.parametrize('revision', ['', '@v1'])
def test_hub(index, server, cache, monkeypatch, revision):
    constants = pytest.importorskip('huggingface_hub.constants')
    endpoint = server.url.partition('/files')[0]
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, 'ENDPOINT', endpoint)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    change(index, location='hf:me/repo/deep/tiny.safetensors' + revision)
    path = pretrained_file('tiny')
    assert path.read_bytes() == CONTENT and kept(cache) == [path.name]
    asked = {request for request, _ in server.requests if '/resolve/' in request}
    assert asked == {f'/me/repo/resolve/{revision[1:] or "main"}/deep/tiny.safetensors'}
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(CheckpointError, match=f'hf:me/repo.*{hashlib.sha256(CONTENT[::-1]).hexdigest()}'):
        pretrained_file('tiny')
    assert kept(cache) == []
    server.content = bytes(3_000_000)
    server.requests.clear()
    with pytest.raises(CheckpointError, match='hf:me/repo.*3,000,000'):
        pretrained_file('tiny')
    assert len(server.requests) == 1  # for the size
    server.acts += [404] * 9
    with pytest.raises(CheckpointError, match='hf:me/repo'):
        pretrained_file('tiny')
