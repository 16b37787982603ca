"""A language model from training to evaluation, as the command lines do it, and a run that resumes."""

import json

import pytest
import torch

from a2sg_zoo.cli import main
from tests.cli.mistakes import mistake

CONFIG = 'configs/spikegpt_small_text_a2sg.py'
# the network of the config and its text, small enough for a test
SMALL = [
    'model.backbone.embed_dims=16',
    'model.backbone.depth=1',
    'model.backbone.num_heads=2',
    'model.backbone.T=16',
    'model.head.in_channels=16',
    *(f'{name}_dataloader.dataset.length=16' for name in ('train', 'val', 'test')),
    'train_dataloader.batch_size=4',
    'train_cfg.max_iters=6',
    'train_cfg.val_interval=6',
    'default_hooks.checkpoint.interval=3',
    'default_hooks.logger.interval=1',
    'adaptation.policy.interval=2',
]


@pytest.fixture(scope='module')
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp('text') / 'book.txt'
    path.write_text('It was a dark and stormy night. ' * 40)
    return path


def options(book):
    return ['--cfg-options', f'data_root={book}', *SMALL]


@pytest.fixture(scope='module')
def trained(tmp_path_factory, book):
    folder = tmp_path_factory.mktemp('run')
    main(['train', CONFIG, '--work-dir', str(folder), '--seed', '0', *options(book)])
    return folder


def test_training_leaves_its_text_and_its_score(trained, book):
    state = torch.load(trained / 'iter_6.pth', weights_only=False)
    source = state['meta']['dataset_meta']['source']
    assert source['text'] == 'book.txt' and source['characters'] == 1280
    assert [*trained.glob('best_bits_per_character_iter_6.pth')]
    assert state['state_dict']['backbone.blocks.0.time.neuron.beta'].unique().numel() > 1


def test_a_run_resumes_to_the_bit(trained, book, tmp_path):
    main(
        ['train', CONFIG, '--work-dir', str(tmp_path), '--seed', '0', '--resume', str(trained / 'iter_3.pth')]
        + options(book)
    )
    first, second = (torch.load(folder / 'iter_6.pth', weights_only=False) for folder in (trained, tmp_path))
    assert first['state_dict'].keys() == second['state_dict'].keys()
    assert all(x.equal(second['state_dict'][name]) for name, x in first['state_dict'].items())


def test_evaluation_and_prediction(trained, book, tmp_path, capsys):
    out = tmp_path / 'result.json'
    main(['test', CONFIG, str(trained / 'iter_6.pth'), '--out', str(out), '--work-dir', str(tmp_path), *options(book)])
    result = json.loads(out.read_text())
    assert result['metrics']['bytes'] == 127 and 0 < result['metrics']['bits_per_character'] < 16
    assert result['data']['text'] == 'book.txt' and len(result['data']['sha256']) == 64
    capsys.readouterr()
    main(['predict', str(trained / 'iter_6.pth'), '--prompt', 'It was', '--length', '9', '--seed', '0'])
    assert capsys.readouterr().out.startswith('It was')


@pytest.mark.parametrize(
    'contents, key', [('déjà vu '.encode('latin1') * 200, 'book.txt'), (b'short', 'length'), (None, 'book.txt')]
)
def test_files_that_are_no_text(contents, key, tmp_path, capsys):
    path = tmp_path / 'book.txt'
    if contents is not None:
        path.write_bytes(contents)
    assert key in mistake(capsys, 'train', CONFIG, '--work-dir', str(tmp_path / 'run'), *options(path))


@pytest.mark.parametrize('option', ['train_dataloader.dataset.length=8', 'val_dataloader.dataset.length=1'])
def test_lengths_that_do_not_fit(option, book, tmp_path, capsys):
    said = mistake(capsys, 'train', CONFIG, '--work-dir', str(tmp_path), *options(book), option)
    assert option.partition('=')[0] in said
