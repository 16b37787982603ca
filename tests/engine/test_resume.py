"""Which checkpoint a run continues from, and what is refused in one."""

import os

import pytest
import torch

from a2sg_zoo.engine.resume import find_checkpoint, find_resume_checkpoint, require_resumable
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from tests.engine import toy


@pytest.fixture(scope='module')
def state(tmp_path_factory):
    """The contents of a checkpoint."""
    folder = tmp_path_factory.mktemp('state')
    toy.runner(folder, max_iters=4).train()
    return read_checkpoint(folder / 'iter_4.pth')


@pytest.fixture
def run_dir(tmp_path, state):
    """A run of 12 iterations; the times of its files are those of a clock that ran backwards."""
    for i, step in enumerate((4, 8, 12)):
        torch.save({**state, 'meta': {**state['meta'], 'iter': step}}, tmp_path / f'iter_{step}.pth')
        os.utime(tmp_path / f'iter_{step}.pth', (9 - i, 9 - i))
    (tmp_path / 'last_checkpoint').write_text('iter_12.pth')
    return tmp_path


def test_a_sound_run_resumes_from_its_last(run_dir):
    (run_dir / 'last_checkpoint').write_text('iter_8.pth')
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')


def test_a_path_counts_by_its_name(run_dir):
    """As MMEngine and 0.1.0 write it, and as it stands in a copy of a folder."""
    (run_dir / 'last_checkpoint').write_text('/somewhere/else/iter_8.pth\n')
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')


def _save(contents, path):
    torch.save(contents, path)


@pytest.mark.parametrize(
    'damage',
    [
        lambda d: (d / 'iter_12.pth').unlink(),
        lambda d: (d / 'iter_12.pth').write_bytes(b'PK\3\4cut'),
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').unlink()],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').write_text('')],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').write_bytes(b'\0\xff\x1b' * 500)],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').write_text('x' * 5000)],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').write_text('../../etc/passwd')],
        lambda d: [(d / f).unlink() for f in ('iter_12.pth', 'last_checkpoint')] + [(d / 'last_checkpoint').mkdir()],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'iter_12.pth').mkdir()],
        lambda d: [(d / 'iter_12.pth').unlink(), torch.save({'state_dict': {}}, d / 'best_mIoU_iter_12.pth')],
        lambda d: torch.save([1, 2], d / 'iter_12.pth'),
    ],
    ids=[
        'missing',
        'cut',
        'no note',
        'empty note',
        'note of bytes',
        'long note',
        'note of another folder',
        'folder as note',
        'folder',
        'best only',
        'list',
    ],
)
def test_a_damaged_run_resumes_from_the_latest_that_is_sound(run_dir, damage):
    damage(run_dir)
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')


def test_the_fallback_is_used_and_said(run_dir, monkeypatch):
    said = []
    monkeypatch.setattr('a2sg_zoo.engine.resume.print_log', lambda text, *args, **kwargs: said.append(text))
    (run_dir / 'iter_12.pth').write_bytes(b'cut')
    runner = toy.runner(run_dir, resume=True, max_iters=9)
    runner.train()
    assert runner.iter == 9 and len(said) == 1
    assert all(name in said[0] for name in ('last_checkpoint', 'iter_12.pth', str(run_dir / 'iter_8.pth')))


def test_nothing_to_resume_from(tmp_path):
    assert find_resume_checkpoint(tmp_path) is None and find_resume_checkpoint(tmp_path / 'none') is None
    (tmp_path / 'iter_1.pth').write_bytes(b'cut')
    with pytest.raises(CheckpointError, match='iter_1.pth'):
        find_resume_checkpoint(tmp_path)


WRONG = {
    'meta': [None, 3, [], 'text'],
    'meta.iter': [None, '4', 4.0, -1, True, torch.tensor(4)],
    'meta.epoch': [None, [0]],
    'message_hub': [None, [], 7],
    'message_hub.log_scalars': [None, [1]],
    'message_hub.runtime_info': ['text'],
    'message_hub.resumed_keys': [3],
    'optimizer': [None, [], 'text', {}],
    'optimizer.state': [[1, 2], None],
    'optimizer.param_groups': [{}, 4],
    'param_schedulers': [7, [3], ['x'], {'a': [1]}],
}


@pytest.mark.parametrize('key, value', [(key, value) for key, values in WRONG.items() for value in values])
def test_state_of_a_wrong_type_is_named(run_dir, state, key, value):
    outer, _, inner = key.partition('.')
    contents = {**state, outer: {**state[outer], inner: value} if inner else value}
    torch.save(contents, run_dir / 'iter_12.pth')
    for call in (
        lambda: require_resumable(read_checkpoint(run_dir / 'iter_12.pth'), run_dir / 'iter_12.pth'),
        lambda: toy.runner(run_dir, resume=True, load_from=str(run_dir / 'iter_12.pth')).train(),
    ):
        with pytest.raises(CheckpointError, match='iter_12.pth') as error:
            call()
        assert key in str(error.value)
    # and without a name, the run continues from the one before
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')


@pytest.mark.parametrize(
    'change',
    [
        lambda state: state['optimizer']['param_groups'].pop(),
        lambda state: state['optimizer']['param_groups'][0]['params'].pop(),
        lambda state: state['optimizer']['param_groups'].append(7),
        lambda state: state['message_hub']['log_scalars'].update(loss=3),
        lambda state: state['param_schedulers'][0].clear(),
    ],
)
def test_state_that_does_not_fit_is_one_error(run_dir, change):
    contents = read_checkpoint(run_dir / 'iter_12.pth')
    change(contents)
    torch.save(contents, run_dir / 'iter_12.pth')
    try:
        toy.runner(run_dir, resume=True, load_from=str(run_dir / 'iter_12.pth'), max_iters=13).train()
    except CheckpointError as error:
        assert 'iter_12.pth' in str(error)


def test_the_history_of_the_losses_is_resumed(tmp_path):
    toy.runner(tmp_path).train()
    resumed = toy.runner(tmp_path, resume=True, max_iters=14)
    resumed.train()
    assert len(resumed.message_hub.get_scalar('train/loss').data[0]) == 14


def test_best_and_last_go_by_iteration(run_dir):
    for i, step in enumerate((30, 4, 200)):
        (run_dir / f'best_top1_iter_{step}.pth').write_bytes(b'')
        os.utime(run_dir / f'best_top1_iter_{step}.pth', (9 - i, 9 - i))
    assert find_checkpoint(run_dir, 'best') == str(run_dir / 'best_top1_iter_200.pth')
    assert find_checkpoint(run_dir, 'last') == str(run_dir / 'iter_12.pth')
    with pytest.raises(CheckpointError, match='best'):
        find_checkpoint(run_dir / 'none', 'best')
    (run_dir / 'best_val_loss_iter_30.pth').write_bytes(b'')
    with pytest.raises(CheckpointError, match='several scores.*best_top1_iter_200.pth, .*best_val_loss_iter_30.pth'):
        find_checkpoint(run_dir, 'best')
