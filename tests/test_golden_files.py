"""The reference files are found, downloaded and checked; damaged ones are named."""

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from a2sg_zoo.errors import DataError
from tests import golden_files
from tests.conftest import GOLDEN
from tests.models.backbones.test_golden import CASES

ROOT = Path(__file__).resolve().parents[1]
FILES = {'a.safetensors': b'first' * 1000, 'b.safetensors': b'second' * 1000}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder with two small files, which the list describes in place of the real ones."""
    folder = tmp_path / 'source'
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    files = {name: dict(size=len(x), sha256=hashlib.sha256(x).hexdigest()) for name, x in FILES.items()}
    monkeypatch.setattr(golden_files, 'MANIFEST', tmp_path / 'golden_files.json')
    golden_files.MANIFEST.write_text(json.dumps(dict(url=None, files=files)))
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def url(source):
    """The address of a web server with that folder."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=source))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def damage(path, how):
    data = path.read_bytes()
    if how == 'missing':
        path.unlink()
    else:
        path.write_bytes(data[:-10] if how == 'cut' else data[:-1] + b'?')


def test_a_folder(source, tmp_path):
    assert golden_files.find(str(source)) == source
    assert not (tmp_path / 'home').exists()


@pytest.mark.parametrize('how', ['missing', 'cut', 'changed'])
def test_a_damaged_file_in_a_folder_is_named(source, how):
    damage(source / 'b.safetensors', how)
    with pytest.raises(DataError, match='b.safetensors') as error:
        golden_files.find(str(source))
    assert 'a.safetensors' not in str(error.value)


def test_a_web_folder(source, url, tmp_path):
    found = golden_files.find(url)
    assert contents(found) == FILES and found == tmp_path / 'home' / 'golden'
    damage(found / 'a.safetensors', 'cut')
    assert contents(golden_files.find(f'{url}/?token=secret')) == FILES


@pytest.mark.parametrize('how', ['missing', 'cut', 'changed'])
def test_a_damaged_file_on_the_web_is_named(source, url, how):
    damage(source / 'b.safetensors', how)
    with pytest.raises(DataError, match='b.safetensors') as error:
        golden_files.find(f'{url}/?token=secret')
    assert 'secret' not in str(error.value)


@pytest.mark.parametrize('name', ['golden.zip', 'golden.tar.xz'])
def test_an_archive(source, url, name, tmp_path):
    if name == 'golden.zip':
        golden_files.pack(source, source / name)
    else:
        with tarfile.open(source / name, 'w:xz') as file:
            for inner in FILES:
                file.add(source / inner, inner)
    for inner in FILES:
        (source / inner).unlink()
    found = golden_files.find(f'{url}/{name}')
    assert contents(found) == FILES and sorted(p.name for p in found.iterdir()) == sorted(FILES)
    (source / name).unlink()
    assert golden_files.find(f'{url}/{name}') == found  # nothing is downloaded a second time


def test_an_archive_on_a_disk(source, tmp_path):
    golden_files.pack(source, tmp_path / 'golden.zip')
    assert contents(golden_files.find(str(tmp_path / 'golden.zip'))) == FILES


@pytest.mark.parametrize('how', ['cut', 'other contents', 'a file is missing', 'not there'])
def test_a_damaged_archive(source, url, how, tmp_path):
    archive = source / 'golden.zip'
    if how == 'cut':
        golden_files.pack(source, archive)
        archive.write_bytes(archive.read_bytes()[:-2000])
    elif how != 'not there':
        with zipfile.ZipFile(archive, 'w') as file:
            for name, data in FILES.items():
                if how == 'other contents':
                    file.writestr(name, data[::-1])
                elif name.startswith('a'):
                    file.writestr(name, data)
    with pytest.raises(DataError, match='golden.zip'):
        golden_files.find(f'{url}/golden.zip')
    left = [path for path in (tmp_path / 'home').rglob('*') if path.is_file() and path.suffix != '.lock']
    assert not left
    golden_files.pack(source, archive)
    assert contents(golden_files.find(f'{url}/golden.zip')) == FILES


def test_the_address_in_the_list(source, url):
    with pytest.raises(DataError, match='golden_files.json'):
        golden_files.find('download')
    listed = json.loads(golden_files.MANIFEST.read_text())
    golden_files.MANIFEST.write_text(json.dumps({**listed, 'url': url}))
    assert contents(golden_files.find('download')) == FILES


def test_archives_are_the_same_everywhere(source, tmp_path):
    golden_files.pack(source, tmp_path / '1.zip')
    for name in FILES:
        os.utime(source / name, (1e9, 1e9))
    golden_files.pack(source, tmp_path / '2.zip')
    assert (tmp_path / '1.zip').read_bytes() == (tmp_path / '2.zip').read_bytes()
    damage(source / 'a.safetensors', 'changed')
    with pytest.raises(DataError, match='a.safetensors'):
        golden_files.pack(source, tmp_path / '3.zip')
    assert not (tmp_path / '3.zip').exists()


def test_the_list_has_the_files_that_tests_ask_for():
    assert {f'{name}.safetensors' for name in CASES} == set(golden_files.manifest()['files'])


def test_the_files_beside_the_checkout_are_those_of_the_list(golden_file):
    for name in CASES:
        golden_file(name)


@pytest.fixture
def no_files(request, tmp_path):
    before = request.config.stash[GOLDEN]
    request.config.stash[GOLDEN] = tmp_path
    yield
    request.config.stash[GOLDEN] = before


def test_a_test_without_its_file_says_how_to_get_it(no_files, tmp_path, golden_file):
    with pytest.raises(pytest.skip.Exception, match='sdt_v1_e64_d2_T4.*--golden.*CONTRIBUTING.md'):
        golden_file('sdt_v1_e64_d2_T4')
    (tmp_path / 'sdt_v1_e64_d2_T4.safetensors').write_bytes(b'damaged')
    with pytest.raises(pytest.fail.Exception, match='sdt_v1_e64_d2_T4'):
        golden_file('sdt_v1_e64_d2_T4')


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **environment},
    )


def test_commands(golden_file, tmp_path):
    folder = golden_file('sdt_v1_e64_d2_T4').parent
    packed = run('-m', 'tests.golden_files', 'pack', folder, tmp_path / 'golden.zip')
    assert packed.returncode == 0, packed.stderr
    fetched = run('-m', 'tests.golden_files', 'fetch', tmp_path / 'golden.zip', A2SG_HOME=str(tmp_path / 'home'))
    assert fetched.stdout.strip() == str(tmp_path / 'home' / 'golden'), fetched.stderr


def test_the_commands_name_a_fault_in_one_line(source, capsys):
    damage(source / 'b.safetensors', 'changed')
    for arguments in (['fetch', str(source)], ['pack', str(source), str(source / 'x.zip')]):
        with pytest.raises(SystemExit) as end:
            golden_files.main(arguments)
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.startswith('error: ') and 'b.safetensors' in said
        assert len(said.splitlines()) == 1
    with pytest.raises(SystemExit):
        golden_files.main([])


def test_the_option(golden_file, tmp_path):
    folder = golden_file('sdt_v1_e64_d2_T4').parent
    test = ('-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_golden_files.py', '-k', 'beside_the_checkout')
    used = run(*test, A2SG_ZOO_GOLDEN=str(folder))
    assert used.returncode == 0 and '1 passed' in used.stdout, used.stdout
    shutil.copytree(folder, tmp_path / 'damaged', copy_function=shutil.copyfile)
    damage(tmp_path / 'damaged' / 'sdt_v1_e64_d2_T4.safetensors', 'changed')
    refused = run(*test, '--golden', str(tmp_path / 'damaged'))
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR and 'sdt_v1_e64_d2_T4' in refused.stderr
