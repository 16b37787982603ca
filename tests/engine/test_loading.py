"""What a run loads at its beginning: read once, reported in one line, without secrets, and a new head where asked."""

import functools
import http.server
import json
import threading
from pathlib import Path

import pytest
import torch

from a2sg_zoo.datasets import Digits
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.engine.run import test as evaluate
from a2sg_zoo.errors import A2SGError, CheckpointError
from a2sg_zoo.hub import checkpoint as reader
from a2sg_zoo.hub import loaders
from a2sg_zoo.hub.published import class_names
from a2sg_zoo.registry import DATASETS

CONFIG = 'resnet_small_digits'
HEAD = ('head.layers.0.weight', 'head.layers.0.bias')


def short(work_dir, **options):
    """One training step of a small network."""
    return prepare_config(
        CONFIG,
        {
            'model.backbone.T': 1,
            'train_dataloader.batch_size': 4,
            'train_cfg.max_iters': 1,
            'train_cfg.val_interval': 1,
            'val_dataloader.batch_size': 360,
            'test_dataloader.batch_size': 360,
            **options,
        },
        work_dir=work_dir,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    train(short(folder))
    return folder / 'iter_1.pth'


def log(work_dir):
    return '\n'.join(path.read_text() for path in Path(work_dir).rglob('*.log'))


def count_reads(monkeypatch):
    """The paths that torch reads from now on."""
    paths, load = [], torch.load
    monkeypatch.setattr(reader.torch, 'load', lambda path, **options: paths.append(str(path)) or load(path, **options))
    return paths


def test_an_evaluation_reads_its_checkpoint_once(trained, tmp_path, monkeypatch):
    paths = count_reads(monkeypatch)
    evaluate(short(tmp_path), trained)
    assert paths == [str(trained)]


def test_contents_that_were_read_are_given_once(trained, monkeypatch):
    paths = count_reads(monkeypatch)
    load = loaders.CheckpointLoader.load_checkpoint
    with loaders.read_ahead(trained) as contents:
        assert class_names(trained, contents) == list('0123456789')
        first = load(str(trained))
        second = load(str(trained))
    load(str(trained))
    assert paths == [str(trained)] * 3
    assert all(torch.equal(x, second['state_dict'][k]) for k, x in first['state_dict'].items())


def test_one_line_says_what_was_loaded(trained, tmp_path, capsys):
    evaluate(short(tmp_path), trained)
    said = [line for line in capsys.readouterr().out.splitlines() if 'iter_1.pth' in line]
    assert len(said) == 1 and 'iteration 1' in said[0]
    assert str(len(torch.load(trained, weights_only=False)['state_dict'])) in said[0]


@DATASETS.register_module()
class SevenDigits(Digits):
    """The digits from 0 to 6."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        kept = [i for i, label in enumerate(self.labels) if label < 7]
        self.images, self.labels = self.images[kept], [self.labels[i] for i in kept]
        self.metainfo = dict(classes=tuple('0123456'))


def seven(work_dir, **options):
    kinds = {f'{name}_dataloader.dataset.type': 'SevenDigits' for name in ('train', 'val', 'test')}
    return short(work_dir, **{'num_classes': 7, 'optim_wrapper.optimizer.lr': 0.0, **kinds, **options})


def test_a_training_with_other_classes_gets_a_new_head(trained, tmp_path, capsys):
    train(seven(tmp_path, load_from=str(trained)))
    said = [line for line in capsys.readouterr().out.splitlines() if all(name in line for name in HEAD)]
    assert len(said) == 1 and str(trained) in said[0] and '7' in said[0] and '10' in said[0]
    before, after = (torch.load(path, weights_only=False)['state_dict'] for path in (trained, tmp_path / 'iter_1.pth'))
    assert {name for name, x in after.items() if x.shape != before[name].shape} == {*HEAD}
    # the learning rate is 0, so weights that no statistics of batch norm change are those of the file
    same = [name for name, x in after.items() if name.endswith('weight') and name not in HEAD]
    assert same and all(torch.equal(after[name], before[name]) for name in same)


def test_an_evaluation_and_a_resumed_run_get_no_new_head(trained, tmp_path):
    with pytest.raises(A2SGError, match='iter_1.pth'):
        evaluate(seven(tmp_path), trained)
    with pytest.raises(A2SGError, match='iter_1.pth'):
        train(seven(tmp_path), str(trained))


def test_a_head_that_differs_in_more_is_an_error(trained, tmp_path):
    options = {'model.head.hidden': 16}
    with pytest.raises(CheckpointError, match='iter_1.pth(.|\n)*head.layers'):
        train(seven(tmp_path, load_from=str(trained), **options))


@pytest.fixture
def url(trained):
    """The address of a web server with the folder of the run."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=trained.parent)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/{trained.name}'
    server.shutdown()
    server.server_close()


def test_a_token_in_an_address_stays_in_the_request(trained, url, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv('A2SG_HOME', str(tmp_path / 'home'))
    address = f'{url}?token=hunter2'
    monkeypatch.setattr('sys.argv', ['train.py', '--cfg-options', f'load_from={address}'])
    train(short(tmp_path / 'run', load_from=address))
    written = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert not [path for path in written if b'hunter2' in path.read_bytes()]
    assert 'hunter2' not in ''.join(capfd.readouterr()) and url in log(tmp_path / 'run')
    command = json.loads((tmp_path / 'run' / 'run.json').read_text())['command']
    assert f'load_from={url}?...' in command
