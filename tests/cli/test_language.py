"""A language model from training to evaluation, as the command lines do it, and a run that resumes."""

import json
import shlex

import pytest
import torch

import a2sg_zoo
from a2sg_zoo.cli import main
from a2sg_zoo.errors import A2SGError, printable
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
    (log,) = trained.glob('*/*.log')
    assert '71 training sequences' in log.read_text()
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


def test_a_run_goes_on_in_chunks_of_time_steps(trained, book, tmp_path):
    """The run without chunks, from its checkpoint on in chunks of 5 of the 16 time steps, under a search."""
    main(
        ['train', CONFIG, '--work-dir', str(tmp_path), '--seed', '0', '--resume', str(trained / 'iter_3.pth')]
        + [*options(book), 'model.backbone.time_chunk=5']
    )
    first, second = (torch.load(folder / 'iter_6.pth', weights_only=False) for folder in (trained, tmp_path))
    assert first['state_dict'].keys() == second['state_dict'].keys()
    for name, x in first['state_dict'].items():
        torch.testing.assert_close(
            second['state_dict'][name], x, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: n + text
        )


def test_evaluation_and_prediction(trained, book, tmp_path, capsys):
    out = tmp_path / 'result.json'
    main(['test', CONFIG, str(trained / 'iter_6.pth'), '--out', str(out), '--work-dir', str(tmp_path), *options(book)])
    result = json.loads(out.read_text())
    assert result['metrics']['bytes'] == 127 and 0 < result['metrics']['bits_per_character'] < 16
    assert result['data']['text'] == 'book.txt' and len(result['data']['sha256']) == 64
    capsys.readouterr()
    shown = ['--show-dir', str(tmp_path / 'pictures'), '--work-dir', str(tmp_path)]
    assert '--show-dir' in mistake(capsys, 'test', CONFIG, str(trained / 'iter_6.pth'), *shown, *options(book))
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


def test_publication(trained, book, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    command = shlex.join(['a2sg-zoo', 'train', CONFIG, '--seed', '0', *options(book)])
    main(
        ['publish', str(trained), '--name', 'night', '--summary', 'A dark and stormy night.', '--any-commit']
        + ['--command', command]
    )
    entry = a2sg_zoo.info('night')
    assert entry['task'] == 'language' and entry['data']['name'] == 'book.txt' and entry['T'] == 16
    assert a2sg_zoo.list_models(task='language') == ['night']
    card = (tmp_path / 'model_cards' / 'night.md').read_text()
    assert 'text-generation' in card and "TextGenerator('night')" in card and 'picture' not in card
    assert entry['firing_rates'].keys() == {
        f'backbone.blocks.0.{part}_neuron'.replace('._', '.')
        for part in ('time.', 'time.qkv', 'time.attention', 'channels.', 'channels.hidden')
    }
    text = a2sg_zoo.TextGenerator('night', 'cpu')('It was', length=9, seed=0)
    capsys.readouterr()
    main(['predict', 'zoo:night', '--prompt', 'It was', '--length', '9', '--seed', '0'])
    assert capsys.readouterr().out.strip() == printable(f'It was{text}', keep='\n').strip()
    main(['publish', '--check'])
    assert 'in order' in capsys.readouterr().out
    model = a2sg_zoo.get_model('night', T=8)
    assert model.backbone.T == 8 and model(torch.zeros(1, 8, dtype=torch.long)).shape == (8, 1, 256)
    for arguments in (
        ['export', 'night', '--format', 'onnx', '--out', str(tmp_path / 'night.onnx')],
        ['predict', 'night', 'cat.jpg'],
    ):
        assert 'language' in mistake(capsys, *arguments)
    with pytest.raises(A2SGError, match='num_classes'):
        a2sg_zoo.get_model('night', num_classes=3)
