import bz2
import gzip
import io
import re
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from a2sg_zoo.errors import DataError
from a2sg_zoo.hub.archives import extract, gunzip
from tests.hub.files import leftovers, make_zip


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


def test_a_file_with_the_name_of_the_folder_lies_in_it(tmp_path):
    extract(make_zip(tmp_path / 'a.zip', {'set': 'one'}), tmp_path / 'set')
    assert (tmp_path / 'set' / 'set').read_text() == 'one'


def test_a_name_with_a_null_byte(tmp_path):
    member = tarfile.TarInfo('x')
    member.pax_headers = {'path': 'a\0b'}
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.PAX_FORMAT) as file:
        file.addfile(member)
    with pytest.raises(DataError, match='a.tar'):
        extract(tmp_path / 'a.tar', tmp_path / 'set')


@pytest.mark.parametrize('name', ['../evil', 'a/../../evil', '/evil', 'C:/evil', '..\\evil'])
def test_extract_refuses_members_that_climb_out(tmp_path, name):
    archive = make_zip(tmp_path / 'a.zip', {'fine': '1', name: '2'})
    with pytest.raises(DataError, match=re.escape(repr(name))):
        extract(archive, tmp_path / 'in' / 'set')
    assert leftovers(tmp_path / 'in' / 'set') == []


def test_extract_refuses_links(tmp_path):
    link = zipfile.ZipInfo('link')
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
        file.writestr(link, '/etc')
    with pytest.raises(DataError, match='link'):
        extract(tmp_path / 'a.zip', tmp_path / 'set')


def test_extract_names_damage_and_lack_of_space(tmp_path, monkeypatch):
    archive = tmp_path / 'a.zip'
    with zipfile.ZipFile(archive, 'w') as file:  # stored, so that only the CRC can tell
        file.writestr('member', 'x' * 1000)
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match='a.zip'):
        extract(archive, tmp_path / 'in' / 'set')
    archive.write_bytes(data[:500])
    with pytest.raises(DataError, match='a.zip'):
        extract(archive, tmp_path / 'in' / 'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(DataError, match=str(tmp_path / 'in')):
        extract(make_zip(tmp_path / 'b.zip', {'1': '1'}), tmp_path / 'in' / 'set')
    assert leftovers(tmp_path / 'in' / 'set') == []


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
    for name, content in (('../x', ''), ('/x', ''), ('set/x', None)):
        with pytest.raises(DataError, match=f"bad.tar.gz.*'{re.escape(name)}'"):
            extract(make_tar(tmp_path / 'bad.tar.gz', {'set/1': 'one', name: content}), tmp_path / 'in' / 'bad')
        assert not (tmp_path / 'in' / 'bad').exists() and not (tmp_path / 'in' / 'x').exists()


def test_a_tar_of_the_folder_it_lies_in(tmp_path):
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / '1').write_text('one')
    with tarfile.open(tmp_path / 'a.tar', 'w') as file:
        file.add(tmp_path / 'source', '.')
    extract(tmp_path / 'a.tar', tmp_path / 'set')
    assert (tmp_path / 'set/1').read_text() == 'one'


@pytest.mark.parametrize('keep', [0, 20, -9])
def test_extract_names_a_tar_cut_short(tmp_path, keep):
    archive = make_tar(tmp_path / 'a.tar.gz', {'set/1': 'one' * 1000})
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match='a.tar'):
        extract(archive, tmp_path / 'set')
    assert not (tmp_path / 'set').exists()


@pytest.mark.parametrize('content', [b'text', bz2.compress(b'x' * 1000)[:-9], b'\xfd7zXZ\0 and no more'])
def test_extract_names_what_is_no_archive(tmp_path, content):
    (tmp_path / 'a.tar').write_bytes(content)
    with pytest.raises(DataError, match='a.tar'):
        extract(tmp_path / 'a.tar', tmp_path / 'set')


def test_a_disk_that_fills_does_not_accuse_the_archive(tmp_path, small_disk, monkeypatch):
    archive = make_zip(tmp_path / 'a.zip', {'1': 'x' * 400_000})
    with pytest.raises(DataError, match=str(small_disk)):
        extract(archive, small_disk / 'set')
    monkeypatch.setattr('a2sg_zoo.hub.archives.require_space', lambda folder, needed: None)
    with pytest.raises(DataError, match=f'a.zip.*{small_disk / "set"}'):
        extract(archive, small_disk / 'set')
    assert leftovers(small_disk / 'set') == []
    subprocess.run(['mount', '-o', 'remount,size=4m', small_disk], check=True)
    assert (extract(archive, small_disk / 'set') / '1').stat().st_size == 400_000


def test_gunzip(tmp_path):
    content = bytes(range(256)) * 1000
    archive = tmp_path / 'a.gz'
    archive.write_bytes(gzip.compress(content))
    into = tmp_path / 'new' / 'a'
    assert gunzip(archive, into) == into and into.read_bytes() == content and leftovers(into) == ['a']
    archive.write_bytes(b'')
    gunzip(archive, into)  # a file that is there is kept
    assert into.read_bytes() == content


@pytest.mark.parametrize('spoil', [lambda x: x[:-5], lambda x: b'<html>', lambda x: x[:50] + b'\xff' * 9 + x[59:]])
def test_gunzip_names_damage(tmp_path, spoil):
    archive = tmp_path / 'a.gz'
    archive.write_bytes(spoil(gzip.compress(bytes(range(256)) * 1000)))
    with pytest.raises(DataError, match=str(archive)):
        gunzip(archive, tmp_path / 'a')
    assert leftovers(archive) == ['a.gz']
