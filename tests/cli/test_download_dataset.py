"""The command that downloads data sets and pretrained weights."""

import dataclasses
import gzip
import hashlib
import importlib.util
import re
import shutil
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import torchvision

from a2sg_zoo.datasets import CIFAR10DVS, NMNIST, DVSGesture, NCaltech101
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS
from tests.hub.files import leftovers, make_zip

# the data sets of the command
SOURCES = dict(
    ade20k=dict(type='ADE20K'),
    cifar10=dict(type='CIFAR'),
    cifar100=dict(type='CIFAR', num_classes=100),
    mnist=dict(type='MNIST'),
    cifar10dvs=dict(type='CIFAR10DVS'),
    dvs_gesture=dict(type='DVSGesture'),
    nmnist=dict(type='NMNIST'),
    ncaltech101=dict(type='NCaltech101'),
    shd=dict(type='SHD'),
    ssc=dict(type='SSC'),
)


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
    checksum = f'sha1:{hashlib.sha1(server.content).hexdigest()}'
    archive = tool.Archive(server.url, checksum, {'images/*/*.jpg': 1}, len(server.content))
    source = tool.Source((archive,), 'unused', 'Set', 'a set')
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
    archive = tool.Archive(server.url, f'md5:{hashlib.md5(server.content).hexdigest()}', {'**/*.aedat4': 2})
    source = tool.Source((archive,), 'unused', 'Set', 'a set', nested=True)
    monkeypatch.setitem(tool.SOURCES, 'tiny', source)
    folder = tmp_path / 'data' / 'Set'
    for expected in (['cat/1.aedat4', 'dog/1.aedat4'], ['cat/1.aedat4', 'dog/1.aedat4', 'mine.zip']):
        tool.main(['tiny', '--root', str(tmp_path / 'data')])
        assert sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*')) == expected
        (folder / 'mine.zip').touch()  # files of the user stay


def local(tool, archive, files, **options):
    """An archive on this machine."""
    checksum = f'sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}'
    return tool.Archive(archive.as_uri(), checksum, files, **options)


def test_a_folder_of_another_name_holds_the_data_set(tool, tmp_path, monkeypatch):
    archive = make_zip(
        tmp_path / 'a.zip', {f'ADEChallengeData2016/{x}/training/1.png': 'x' for x in ('images', 'masks')}
    )
    source = tool.SOURCES['ade20k']
    archives = (local(tool, archive, {'*/training/*.png': 2}),)
    monkeypatch.setitem(tool.SOURCES, 'ade20k', dataclasses.replace(source, archives=archives))
    monkeypatch.setenv('ADE20K_ROOT', str(tmp_path / 'mine'))
    tool.main(['ade20k'])
    assert (tmp_path / 'mine' / 'images' / 'training' / '1.png').is_file()


def test_success_is_told_of_complete_data_sets_alone(tool, tmp_path, monkeypatch, capsys):
    archives = [
        local(tool, make_zip(tmp_path / f'{x}.zip', {f'{x}.h5': x}), {f'**/{x}.h5': 1}, into=x)
        for x in ('train', 'test')
    ]
    monkeypatch.setitem(tool.SOURCES, 'tiny', tool.Source(tuple(archives), 'unused', 'Set', 'a set'))
    run, folder = ['tiny', '--root', str(tmp_path / 'data')], tmp_path / 'data' / 'Set'
    (folder / 'test').mkdir(parents=True)  # empty
    (folder / 'train.part').mkdir()  # of a killed process
    (folder / 'train.part' / 'train.h5').write_text('tr')
    tool.main(run)
    assert (folder / 'train' / 'train.h5').read_text() == 'train' and f'is in {folder}' in capsys.readouterr().out
    (folder / 'test' / 'test.h5').unlink()  # as the data set says of a damaged one
    tool.main(run)
    assert (folder / 'test' / 'test.h5').read_text() == 'test' and f'is in {folder}' in capsys.readouterr().out
    (folder / 'test' / 'test.h5').rename(folder / 'test' / 'else.h5')
    with pytest.raises(SystemExit):
        tool.main(run)
    said = capsys.readouterr()
    assert f'remove {folder / "test"} first' in said.err and not said.out
    shutil.rmtree(folder)
    folder.mkdir()
    for name in ('train', 'test'):  # placed by hand
        (folder / f'{name}.h5').write_text('mine')
    tool.main(run)
    assert f'is in {folder}' in capsys.readouterr().out and len(list(folder.iterdir())) == 2


def test_numbers_of_files_are_those_of_the_data_sets(tool):
    files = {name: [sum(x.files.values()) for x in source.archives] for name, source in tool.SOURCES.items()}
    assert files['cifar10dvs'] == [10 * CIFAR10DVS.per_class] and files['ncaltech101'] == [NCaltech101.expected]
    assert files['nmnist'] == [*NMNIST.expected.values()] and files['dvs_gesture'] == [*DVSGesture.expected.values()]


def test_archives_have_names_of_their_own_at_a_mirror(tool):
    names = [x.name or PurePosixPath(x.url).name for source in tool.SOURCES.values() for x in source.archives]
    assert len(set(names)) == len(names) and all('.' in name for name in names)


def test_tool_gets_what_is_missing_of_several_files(tool, tmp_path, monkeypatch, capsys):
    images, labels = b'images' * 1000, b'labels'
    (tmp_path / 'images.gz').write_bytes(gzip.compress(images))
    (tmp_path / 'labels.gz').write_bytes(gzip.compress(labels))
    make_zip(tmp_path / 'file_downloaded', {'Train/1.bin': 'one'})
    archives = [
        tool.Archive(
            (tmp_path / name).as_uri(),
            f'md5:{hashlib.md5((tmp_path / name).read_bytes()).hexdigest()}',
            {pattern: 1},
            None,
            into,
            file,
        )
        for name, into, file, pattern in (
            ('images.gz', 'raw/images', None, 'raw/images'),
            ('labels.gz', 'raw/labels', None, 'raw/labels'),
            ('file_downloaded', 'Train', 'train.zip', 'Train/*.bin'),
        )
    ]
    monkeypatch.setitem(tool.SOURCES, 'tiny', tool.Source(tuple(archives), 'unused', 'Set', 'a set'))
    root = tmp_path / 'data'
    wrong = dataclasses.replace(archives[1], checksum=archives[0].checksum)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setitem(tool.SOURCES, 'tiny', tool.Source((archives[0], wrong), 'unused', 'Set', 'a set'))
        tool.main(['tiny', '--root', str(root)])
    assert 'labels.gz' in capsys.readouterr().err and not (root / 'Set' / 'raw' / 'labels').exists()
    (tmp_path / 'images.gz').unlink()  # it is there already
    tool.main(['tiny', '--root', str(root)])
    files = {str(path.relative_to(root)) for path in root.rglob('*') if path.is_file() and path.suffix != '.lock'}
    assert files == {'Set/raw/images', 'Set/raw/labels', 'Set/Train/1.bin'}
    assert (root / 'Set' / 'raw' / 'images').read_bytes() == images


@pytest.mark.parametrize('name', SOURCES)
def test_files_go_where_the_data_set_looks(name, tool, tmp_path, monkeypatch, capsys):
    source = tool.SOURCES[name]
    place = tmp_path / 'disk' / 'place'
    monkeypatch.setenv(source.variable, str(place))
    monkeypatch.setattr('a2sg_zoo.hub.download.download', lambda url, to, **_: to)
    for unpack in ('extract', 'gunzip'):
        monkeypatch.setattr(f'a2sg_zoo.hub.archives.{unpack}', lambda file, into, **_: into.mkdir(parents=True))
    tool.main([name])
    folder = place if name == 'ade20k' else place / source.folder
    assert str(folder) in capsys.readouterr().out and folder.is_dir()
    shutil.rmtree(place)
    with pytest.raises(DataError, match=re.escape(str(folder))):  # where the data set looks
        DATASETS.build(dict(SOURCES[name]))
    tool.main([name, '--root', str(tmp_path / 'other')])
    assert (tmp_path / 'other' / source.folder).is_dir() and not place.exists()


def test_sources_are_those_of_tonic(tool):
    datasets = pytest.importorskip('tonic.datasets', reason='needs the extra a2sg-zoo[events]')
    expected = {
        'cifar10dvs': [(datasets.CIFAR10DVS.url, datasets.CIFAR10DVS.file_md5)],
        'ncaltech101': [(datasets.NCALTECH101.url, datasets.NCALTECH101.file_md5)],
    }
    for name, kind in (('dvs_gesture', datasets.DVSGesture), ('nmnist', datasets.NMNIST)):
        expected[name] = [(getattr(kind, f'{split}_url'), getattr(kind, f'{split}_md5')) for split in ('train', 'test')]
    for name, kind, splits in (
        ('shd', datasets.SHD, ('train', 'test')),
        ('ssc', datasets.SSC, ('train', 'valid', 'test')),
    ):
        expected[name] = [
            (kind.base_url + getattr(kind, f'{split}_zip'), getattr(kind, f'{split}_md5')) for split in splits
        ]
    for name, archives in expected.items():
        assert [(x.url, x.checksum.removeprefix('md5:')) for x in tool.SOURCES[name].archives] == archives


def test_sources_are_those_of_torchvision(tool):
    assert [
        (PurePosixPath(x.url).name, x.checksum.removeprefix('md5:')) for x in tool.SOURCES['mnist'].archives
    ] == torchvision.datasets.MNIST.resources
    for name, kind in (('cifar10', torchvision.datasets.CIFAR10), ('cifar100', torchvision.datasets.CIFAR100)):
        (archive,) = tool.SOURCES[name].archives
        assert (archive.url, archive.checksum) == (kind.url, f'md5:{kind.tgz_md5}')


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
