import hashlib
import importlib.util
import io
import multiprocessing
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

import a2sg_zoo.zoo.download as module
from a2sg_zoo.errors import DataError
from a2sg_zoo.zoo.download import download, extract
from tests.zoo.misbehaving import CONTENT

SHA256 = 'sha256:' + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'new' / 'data.zip'


def leftovers(path):
    return sorted(p.name for p in path.parent.iterdir() if p.suffix != '.lock')


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
    download(server.url, path, timeout=.2)
    assert path.read_bytes() == CONTENT and ranges(server) == [None, 'bytes=100000-']


def test_not_found_fails_at_once(server, path):
    server.acts += [404] * 5
    with pytest.raises(DataError, match='404.*A2SG_MIRROR'):
        download(server.url, path)
    assert len(server.requests) == 1 and leftovers(path) == []


def test_nobody_listens(server, path):
    with pytest.raises(DataError, match='no connection'):
        download('http://127.0.0.1:9/data.zip', path)


def test_web_page_is_refused(server, path):
    server.acts += ['html']
    with pytest.raises(DataError, match='web page'):
        download(server.url, path)
    assert leftovers(path) == []


def test_wrong_checksum(server, path):
    with pytest.raises(DataError, match='md5 is [0-9a-f]{32}, expected is 0000'):
        download(server.url, path, checksum='md5:' + '0' * 32)
    assert leftovers(path) == []


def test_wrong_size_is_seen_before_the_transfer(server, path):
    with pytest.raises(DataError, match='300000 bytes, expected are 5'):
        download(server.url, path, size=5)
    assert leftovers(path) == []


def test_no_space(server, path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10, 9, 5_000_000))
    with pytest.raises(DataError, match='not enough space.*5 MB'):
        download(server.url, path, size=len(CONTENT))
    assert leftovers(path) == []


def test_two_processes(server, path):
    server.acts += ['slow']
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=download, args=(server.url, path), kwargs=dict(checksum=SHA256))
                 for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(5)
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
    with pytest.raises(DataError, match='cannot be read'):
        download((tmp_path / 'absent').as_uri(), tmp_path / 'x')


def make_zip(path, members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_extract(tmp_path):
    archive = make_zip(tmp_path / 'a.zip', {'set/images/1.txt': 'one', 'set/2.txt': 'two'})
    extract(archive, tmp_path / 'data' / 'set')
    assert (tmp_path / 'data' / 'set' / 'images' / '1.txt').read_text() == 'one'
    extract(archive, tmp_path / 'data' / 'other')
    assert (tmp_path / 'data' / 'other' / 'set' / '2.txt').read_text() == 'two'
    assert leftovers(tmp_path / 'data' / 'set') == ['other', 'set']


def test_extract_starts_anew_after_a_kill_and_keeps_what_is_whole(tmp_path):
    archive = make_zip(tmp_path / 'a.zip', {'1.txt': 'one'})
    (tmp_path / 'set.part').mkdir()
    (tmp_path / 'set.part' / 'stale').write_text('')
    extract(archive, tmp_path / 'set')
    assert [p.name for p in (tmp_path / 'set').iterdir()] == ['1.txt']
    archive.unlink()
    extract(archive, tmp_path / 'set')


@pytest.mark.parametrize('name', ['../evil', 'a/../../evil', '/evil', 'C:/evil', '..\\evil'])
def test_extract_refuses_members_that_climb_out(tmp_path, name):
    archive = make_zip(tmp_path / 'a.zip', {'fine': '1', name: '2'})
    with pytest.raises(DataError, match='not safe'):
        extract(archive, tmp_path / 'in' / 'set')
    assert leftovers(tmp_path / 'in' / 'set') == []


def test_extract_refuses_links(tmp_path):
    link = zipfile.ZipInfo('link')
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
        file.writestr(link, '/etc')
    with pytest.raises(DataError, match='is a link or a device'):
        extract(tmp_path / 'a.zip', tmp_path / 'set')


def test_extract_names_damage_and_lack_of_space(tmp_path, monkeypatch):
    archive = tmp_path / 'a.zip'
    with zipfile.ZipFile(archive, 'w') as file:  # stored, so that only the CRC can tell
        file.writestr('member', 'x' * 1000)
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match='CRC'):
        extract(archive, tmp_path / 'in' / 'set')
    archive.write_bytes(data[:500])
    with pytest.raises(DataError, match='cannot be unpacked'):
        extract(archive, tmp_path / 'in' / 'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(DataError, match='not enough space'):
        extract(make_zip(tmp_path / 'b.zip', {'1': '1'}), tmp_path / 'in' / 'set')
    assert leftovers(tmp_path / 'in' / 'set') == []


@pytest.fixture
def tool():
    file = Path(__file__).parents[2] / 'tools' / 'download_dataset.py'
    spec = importlib.util.spec_from_file_location('download_dataset', file)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_tool(server, tool, tmp_path, monkeypatch, capsys):
    archive = make_zip(tmp_path / 'a.zip', {'Set/images/training/1.jpg': 'one'})
    server.content = archive.read_bytes()
    source = tool.Source(server.url, len(server.content), 'sha1:' + hashlib.sha1(server.content).hexdigest(),
                         'unused', 'Set', 'a set')
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
    source = tool.Source(server.url, None, 'md5:' + hashlib.md5(server.content).hexdigest(), 'unused', 'Set', 'a set',
                         nested=True)
    monkeypatch.setitem(tool.SOURCES, 'tiny', source)
    tool.main(['tiny', '--root', str(tmp_path / 'data')])
    (tmp_path / 'data' / 'Set' / 'cat.zip').write_bytes(inner[0].read_bytes())  # a kill left one
    shutil.rmtree(tmp_path / 'data' / 'Set' / 'cat')
    tool.main(['tiny', '--root', str(tmp_path / 'data')])
    assert sorted(str(p.relative_to(tmp_path / 'data' / 'Set')) for p in (tmp_path / 'data' / 'Set').rglob('*.*')
                  if p.suffix != '.lock') == ['cat/1.aedat4', 'dog/1.aedat4']


def test_tool_lists_and_reports(tool, server, tmp_path, monkeypatch, capsys):
    tool.main(['--list'])
    assert 'ade20k  967 MB' in capsys.readouterr().out
    server.acts += [404]
    monkeypatch.setenv('A2SG_MIRROR', server.url.removesuffix('/data.zip'))
    with pytest.raises(SystemExit, match='error: .*404'):
        tool.main(['ade20k', '--root', str(tmp_path)])
    with pytest.raises(SystemExit):
        tool.main([])


def make_tar(path, members, mode='w:gz'):
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content.encode()))
    return path


def test_extract_tar(tmp_path):
    archive = make_tar(tmp_path / 'a.tar.gz', {'set/1': 'one', 'set/deep/2': 'two'})
    extract(archive, tmp_path / 'set')
    assert (tmp_path / 'set/1').read_text() == 'one' and (tmp_path / 'set/deep/2').read_text() == 'two'
    for name, content, message in (('../x', '', 'would land outside'), ('/x', '', 'would land outside'),
                                   ('set/x', None, 'is a link or a device')):
        with pytest.raises(DataError, match=message):
            extract(make_tar(tmp_path / 'bad.tar.gz', {'set/1': 'one', name: content}), tmp_path / 'in' / 'bad')
        assert not (tmp_path / 'in' / 'bad').exists() and not (tmp_path / 'in' / 'x').exists()


@pytest.mark.parametrize('keep', [0, 20, -9])
def test_extract_names_a_tar_cut_short(tmp_path, keep):
    archive = make_tar(tmp_path / 'a.tar.gz', {'set/1': 'one' * 1000})
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match='(?s)cannot be unpacked .*; remove it and fetch it again'):
        extract(archive, tmp_path / 'set')
    assert not (tmp_path / 'set').exists()
