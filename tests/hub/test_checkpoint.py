"""Checkpoints: what is read and what is refused, what fits, what survives a full disk and a kill."""

import argparse
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint
from a2sg_zoo.neurons import LIF
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
        with pytest.raises(CheckpointError, match=r'evil.pth is refused: it names posix.system'):
            read(tmp_path / 'evil.pth')
    assert not trace.exists()


def test_getattr_gives_nothing_but_the_statistics_of_a_buffer(tmp_path):
    torch.save(dict(x=ExecThroughGetattr()), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='is refused: it names getattr'):
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


def test_every_scheme_of_mmengine_is_replaced():
    assert {f.__module__ for f in CheckpointLoader._schemes.values()} == {'a2sg_zoo.hub.checkpoint'}
    for path in ('s3://bucket/x.pth', 'open-mmlab:s3://x', 'torchvision://resnet18', 'pavi://x', 'mmcls://x'):
        with pytest.raises(CheckpointError, match='not supported'):
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
    assert CheckpointLoader.load_checkpoint('https://host/good.pth?x=1')['a'] == 1
    with pytest.raises(CheckpointError, match='refused'):
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
    with pytest.raises(CheckpointError, match=f'checkpoint {there}: not in the cache .*A2SG_ZOO_OFFLINE forbids'):
        CheckpointLoader.load_checkpoint(there)
    assert server.requests == []
    monkeypatch.delenv('A2SG_ZOO_OFFLINE')
    CheckpointLoader.load_checkpoint(there)
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    assert CheckpointLoader.load_checkpoint(there)['a'] == 1 and len(server.requests) == 1


def test_urls_that_cannot_be_had(server, there, tmp_path, monkeypatch):  # noqa: F811
    server.acts += [404]
    with pytest.raises(CheckpointError, match=f'checkpoint {there} cannot be fetched: the server answers 404'):
        CheckpointLoader.load_checkpoint(there)
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'file'))
    with pytest.raises(CheckpointError, match='checkpoint .* cannot be written: Not a directory; .*A2SG_HOME'):
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
    with pytest.raises(CheckpointError, match='names no file'):
        CheckpointLoader.load_checkpoint(url)
    assert not (tmp_path / 'home').exists()


# fitting


def test_load_into_lists_what_does_not_fit_and_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weights = {
        '0.weight': torch.zeros(2, 2),
        '1.weight': torch.zeros(4, 2),
        '1.bias': torch.zeros(3),
        'x.y': torch.ones(1),
    }
    with pytest.raises(CheckpointError) as error:
        load_into(model, weights, 'some/file.pth')
    for part in (
        'some/file.pth',
        '1 missing in the file: 0.bias',
        '1 unknown to the network: x.y',
        '1 of another shape: 1.weight (4, 2) here (3, 2)',
    ):
        assert part in str(error.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_load_into_allows_what_it_is_told_to():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    load_into(
        model,
        {'0.weight': torch.ones(2, 2), '0.bias': torch.ones(2), 'head.w': torch.ones(1)},
        'f',
        allow_missing=['1.*'],
        allow_unexpected=['head.*'],
    )
    assert model[0].weight.sum() == 4


def test_a_long_list_is_cut():
    with pytest.raises(CheckpointError, match=r'20 missing in the file: (\S+ ){8}\.\.\.'):
        load_into(nn.Sequential(*[nn.Linear(1, 1) for _ in range(10)]), {}, 'f')


def test_the_length_of_a_window_may_differ():
    model = nn.Sequential(LIF())
    load_into(model, {'0.beta': torch.tensor([1.0, 2.0, 3.0])}, 'f')
    assert model[0].beta.tolist() == [1, 2, 3]
