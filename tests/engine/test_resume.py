"""Which checkpoint a run goes on from."""

import os

import pytest
import torch

from a2sg_zoo.engine.resume import find_resume_checkpoint
from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from tests.engine import toy


@pytest.fixture
def run_dir(tmp_path):
    toy.runner(tmp_path).train()
    for i, name in enumerate(['iter_4.pth', 'iter_8.pth', 'iter_12.pth']):
        os.utime(tmp_path / name, (i, i))
    return tmp_path


def test_a_sound_run_resumes_from_its_last(run_dir):
    (run_dir / 'last_checkpoint').write_text(str(run_dir / 'iter_8.pth'))
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')


@pytest.mark.parametrize(
    'damage',
    [
        lambda d: (d / 'iter_12.pth').unlink(),
        lambda d: (d / 'iter_12.pth').write_bytes(b'PK\3\4cut'),
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').unlink()],
        lambda d: [(d / 'iter_12.pth').unlink(), (d / 'last_checkpoint').write_text('')],
        lambda d: [(d / 'iter_12.pth').unlink(), torch.save({'state_dict': {}}, d / 'best_mIoU_iter_12.pth')],
    ],
    ids=['missing', 'cut', 'no note', 'empty note', 'best only'],
)
def test_a_damaged_run_resumes_from_the_newest_readable(run_dir, damage):
    damage(run_dir)
    assert find_resume_checkpoint(run_dir) == str(run_dir / 'iter_8.pth')
    resumed = toy.runner(run_dir, resume=True, max_iters=9)
    resumed.train()
    assert resumed._load_from == str(run_dir / 'iter_8.pth')


def test_the_fallback_is_said(run_dir, monkeypatch):
    said = []
    monkeypatch.setattr('a2sg_zoo.engine.resume.print_log', lambda text, *args, **kwargs: said.append(text))
    (run_dir / 'iter_12.pth').unlink()
    find_resume_checkpoint(run_dir)
    assert len(said) == 1 and 'iter_12.pth' in said[0] and f'resuming from {run_dir / "iter_8.pth"}' in said[0]


def test_nothing_to_resume_from(tmp_path):
    assert find_resume_checkpoint(tmp_path) is None
    (tmp_path / 'iter_1.pth').write_bytes(b'cut')
    with pytest.raises(CheckpointError, match='iter_1.pth'):
        find_resume_checkpoint(tmp_path)


def test_weights_alone_cannot_be_resumed(run_dir):
    contents = read_checkpoint(run_dir / 'iter_12.pth')
    del contents['optimizer']
    torch.save(contents, run_dir / 'best.pth')
    with pytest.raises(CheckpointError, match='best.pth holds weights, but not the state of a run'):
        toy.runner(run_dir, resume=True, load_from=str(run_dir / 'best.pth')).train()


def test_the_history_of_the_losses_is_resumed(run_dir):
    resumed = toy.runner(run_dir, resume=True, max_iters=14)
    resumed.train()
    assert len(resumed.message_hub.get_scalar('train/loss')._log_history) == 14
