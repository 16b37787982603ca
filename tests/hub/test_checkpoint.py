"""Checkpoints: what is read and what is refused, what fits, what survives a full disk and a kill."""

import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from tests.engine import toy
from tests.hub.misbehaving import server  # noqa: F401


class Command:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class ExecThroughGetattr:
    """Asks for builtins.exec by way of `getattr`, which MMEngine's buffers need for their methods."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


# reading


def test_tensors_come_back_from_both_formats(tmp_path):
    weights = {'a': torch.randn(2, 3), 'b': torch.arange(3)}
    torch.save(weights, tmp_path / 'w.pth')
    save_file(weights, tmp_path / 'w.safetensors')
    for name in ('w.pth', 'w.safetensors'):
        read = read_checkpoint(tmp_path / name)
        assert all(torch.equal(read[key], value) for key, value in weights.items())


def test_what_mmengine_and_timm_save_is_read(tmp_path):
    history = HistoryBuffer()
    history.update(1.5)
    torch.save(
        dict(
            message_hub=dict(log_scalars=OrderedDict(loss=history)),
            args=argparse.Namespace(lr=0.1),
            arrays=[np.arange(3), np.float32(2.5), np.int64(3), np.array(['x']), np.array([True])],
        ),
        tmp_path / 'c.pth',
    )
    read = read_checkpoint(tmp_path / 'c.pth')
    assert read['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert read['args'].lr == 0.1
    assert read['arrays'][1] == 2.5 and list(read['arrays'][0]) == [0, 1, 2]


def test_a_file_of_the_older_numpy_is_read(tmp_path):
    data = pickle.dumps(np.arange(3.0), protocol=2)
    assert b'numpy._core' in data or b'numpy.core' in data
    torch.save(dict(x=np.arange(3.0)), tmp_path / 'new.pth', _use_new_zipfile_serialization=False)
    old = (tmp_path / 'new.pth').read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    (tmp_path / 'old.pth').write_bytes(old)
    assert list(read_checkpoint(tmp_path / 'old.pth')['x']) == [0, 1, 2]


@pytest.mark.parametrize('save', [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x, protocol=2))])
def test_code_is_refused_and_not_run(tmp_path, save):
    trace = tmp_path / 'trace'
    save(dict(state_dict={}, x=Command(f'touch {trace}')), tmp_path / 'evil.pth')
    for read in (read_checkpoint, lambda path: load_checkpoint(nn.Linear(1, 1), str(path))):
        with pytest.raises(CheckpointError, match='evil.pth.*posix.system'):
            read(tmp_path / 'evil.pth')
    assert not trace.exists()


def test_getattr_gives_nothing_but_the_statistics_of_a_buffer(tmp_path):
    torch.save(dict(x=ExecThroughGetattr()), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='evil.pth.*getattr'):
        read_checkpoint(tmp_path / 'evil.pth')


def test_a_config_inside_a_checkpoint_is_not_executed(tmp_path):
    trace = tmp_path / 'trace'
    runner = toy.runner(tmp_path, max_iters=2)
    runner.train()
    contents = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    contents['meta']['config'] = f'open({str(trace)!r}, "w")'
    torch.save(contents, tmp_path / 'iter_2.pth')
    toy.runner(tmp_path, resume=True, max_iters=3).train()
    assert not trace.exists()


def _truncated(path):
    torch.save(dict(x=torch.zeros(10000)), path)
    path.write_bytes(path.read_bytes()[:20000])


@pytest.mark.parametrize('name', ['c.pth', 'c.safetensors'])
@pytest.mark.parametrize(
    'damage',
    [
        _truncated,
        lambda path: path.write_bytes(b''),
        lambda path: path.write_bytes(b'<html>404</html>'),
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        lambda path: path.mkdir(),
        lambda path: None,
    ],
    ids=['truncated', 'empty', 'html', 'garbage', 'folder', 'missing'],
)
def test_an_unreadable_file_is_named(tmp_path, name, damage):
    damage(tmp_path / name)
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(tmp_path / name)


def _valid(save):
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


VALID = {
    'new.pth': _valid(lambda file: torch.save({'a': torch.arange(8), 'b': [1, 'x']}, file)),
    'old.pth': _valid(lambda f: torch.save({'a': torch.arange(8)}, f, _use_new_zipfile_serialization=False)),
    'bare.pth': pickle.dumps({'a': 1}, protocol=2),
    'x.safetensors': safetensors.torch.save({'a': torch.arange(8)}),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('damaged')


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(list(VALID)), data=st.data())
def test_any_damage_is_read_or_named(folder, name, data):
    contents = bytearray(VALID[name])
    for place in data.draw(st.lists(st.integers(0, len(contents) - 1), max_size=4)):
        contents[place] = data.draw(st.integers(0, 255))
    contents = contents[: data.draw(st.integers(0, len(contents)))] + data.draw(st.binary(max_size=8))
    path = folder / name
    path.write_bytes(contents)
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        assert str(path) in str(error)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_named(folder, contents):
    for name in ('bytes.pth', 'bytes.safetensors'):
        (folder / name).write_bytes(contents)
        try:
            read_checkpoint(folder / name)
        except CheckpointError as error:
            assert name in str(error)


def test_every_scheme_of_mmengine_is_replaced():
    assert {f.__module__ for f in CheckpointLoader._schemes.values()} == {'a2sg_zoo.hub.loaders'}
    for path in ('s3://bucket/x.pth', 'open-mmlab:s3://x', 'torchvision://resnet18', 'pavi://x', 'mmcls://x'):
        with pytest.raises(CheckpointError, match=path):
            CheckpointLoader.load_checkpoint(path)


def test_urls_are_downloaded_then_read_safely(tmp_path, monkeypatch):
    from a2sg_zoo.hub import download

    torch.save({'a': torch.ones(1)}, tmp_path / 'good.pth')
    torch.save({'a': Command('true')}, tmp_path / 'evil.pth')
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))

    def fetch(url, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((tmp_path / path.name).read_bytes())
        return path

    monkeypatch.setattr(download, 'download', fetch)
    assert CheckpointLoader.load_checkpoint('https://host/good.pth?x=1')['state_dict']['a'] == 1
    with pytest.raises(CheckpointError, match='evil.pth'):
        CheckpointLoader.load_checkpoint('https://host/evil.pth')
    assert all((tmp_path / 'home') in path.parents for path in (tmp_path / 'home').rglob('*.pth'))


@pytest.fixture
def there(server, tmp_path, monkeypatch):  # noqa: F811
    """The address of a checkpoint."""
    torch.save({'a': torch.ones(1)}, tmp_path / 'w.pth')
    server.content = (tmp_path / 'w.pth').read_bytes()
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))
    return server.url.replace('data.zip', 'w.pth')


def test_offline_holds_for_urls(server, there, monkeypatch):  # noqa: F811
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    with pytest.raises(CheckpointError, match=f'{there}.*A2SG_ZOO_OFFLINE'):
        CheckpointLoader.load_checkpoint(there)
    assert server.requests == []
    monkeypatch.delenv('A2SG_ZOO_OFFLINE')
    CheckpointLoader.load_checkpoint(there)
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    assert CheckpointLoader.load_checkpoint(there)['state_dict']['a'] == 1 and len(server.requests) == 1


def test_urls_that_cannot_be_had(server, there, tmp_path, monkeypatch):  # noqa: F811
    server.acts += [404]
    with pytest.raises(CheckpointError, match=f'{there}.*404'):
        CheckpointLoader.load_checkpoint(there)
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'file'))
    with pytest.raises(CheckpointError, match='checkpoint .*A2SG_HOME'):
        CheckpointLoader.load_checkpoint(there)


@pytest.mark.parametrize(
    'url',
    [
        'http://host',
        'http://host/',
        'http://host/folder/?x=w.pth',
        'http://host/a/..',
        'http://host/.',
        'http://[host/w.pth',
    ],
)
def test_urls_that_name_no_file(tmp_path, monkeypatch, url):
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))
    with pytest.raises(CheckpointError, match='checkpoint http://'):
        CheckpointLoader.load_checkpoint(url)
    assert not (tmp_path / 'home').exists()


@pytest.mark.parametrize(
    'junk',
    [b'{"error": "try again"}', b'', b'PK\3\4 cut short', pickle.dumps(Command('true'), protocol=2)],
    ids=['text', 'empty', 'cut short', 'code'],
)
def test_a_bad_download_is_deleted_and_asked_for_again(server, there, tmp_path, junk):  # noqa: F811
    good, server.content, server.etag = server.content, junk, '"junk"'
    with pytest.raises(CheckpointError, match='w.pth'):
        CheckpointLoader.load_checkpoint(there)
    assert not any((tmp_path / 'home').rglob('w.pth'))
    server.content, server.etag = good, '"good"'
    assert CheckpointLoader.load_checkpoint(there)['state_dict']['a'] == 1
    (kept,) = (tmp_path / 'home').rglob('w.pth')
    kept.write_bytes(junk)  # an earlier version kept such an answer for ever; and disks fail
    assert CheckpointLoader.load_checkpoint(there)['state_dict']['a'] == 1
    assert len(server.requests) == 3 and kept.read_bytes() == good


def test_a_file_in_a_cache_that_cannot_be_written_is_used(server, there, tmp_path):  # noqa: F811
    CheckpointLoader.load_checkpoint(there)
    (kept,) = (tmp_path / 'home').rglob('w.pth')
    kept.with_name('w.pth.lock').unlink(missing_ok=True)
    kept.with_name('w.pth.lock').mkdir()  # no lock file can be made, also by root
    assert CheckpointLoader.load_checkpoint(there)['state_dict']['a'] == 1 and len(server.requests) == 1


def test_a_bad_download_is_kept_where_there_is_no_network(server, there, tmp_path, monkeypatch):  # noqa: F811
    CheckpointLoader.load_checkpoint(there)
    (kept,) = (tmp_path / 'home').rglob('w.pth')
    kept.write_bytes(b'junk')
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='w.pth'):
        CheckpointLoader.load_checkpoint(there)
    assert kept.exists() and len(server.requests) == 1


def test_credentials_of_an_address_stay_in_the_request(server, there, tmp_path):  # noqa: F811
    secret = there.replace('http://', 'http://me:hunter2@') + '?token=t0ken'
    server.acts += [404]
    with pytest.raises(CheckpointError, match='w.pth') as error:
        CheckpointLoader.load_checkpoint(secret)
    assert 'Authorization' in server.requests[0][1] and server.requests[0][0].endswith('?token=t0ken')
    assert 'hunter2' not in str(error.value) and 't0ken' not in str(error.value)
    assert CheckpointLoader.load_checkpoint(secret)['state_dict']['a'] == 1
    for path in (tmp_path / 'home').rglob('*'):
        assert 'hunter2' not in str(path) and not (path.is_file() and b'hunter2' in path.read_bytes())


def test_what_unpacks_to_more_than_its_size_is_refused(tmp_path):
    """PyTorch reads compressed members too: a few kilobytes would fill the memory."""
    torch.save({'a': torch.zeros(10_000_000)}, tmp_path / 'w.pth')
    with zipfile.ZipFile(tmp_path / 'w.pth') as old, zipfile.ZipFile(tmp_path / 'bomb.pth', 'w') as new:
        for member in old.infolist():
            new.writestr(member, old.read(member), zipfile.ZIP_DEFLATED)
    assert (tmp_path / 'bomb.pth').stat().st_size < 100_000
    with pytest.raises(CheckpointError, match='bomb.pth'):
        read_checkpoint(tmp_path / 'bomb.pth')


def test_paths_that_cannot_be(tmp_path):
    os.symlink(tmp_path / 'loop.pth', tmp_path / 'loop.pth')
    os.mkfifo(tmp_path / 'fifo.pth')
    for path in (
        tmp_path / 'loop.pth',
        tmp_path / 'fifo.pth',
        tmp_path / ('x' * 300 + '.pth'),
        'a\0b.pth',
        '/dev/zero',
    ):
        with pytest.raises(CheckpointError, match='checkpoint'):
            read_checkpoint(path)
    with pytest.raises(ConfigError, match='~nobody-here'):
        read_checkpoint('~nobody-here/w.pth')
