"""The command that downloads data sets and pretrained weights."""

import hashlib
import importlib.util
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.hub.files import leftovers, make_zip


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
