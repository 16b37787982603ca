"""The checkpoints of a run: what survives a full disk and a kill, and what fits."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from a2sg_zoo.engine.hooks import checkpoint as saving
from a2sg_zoo.engine.resume import find_resume_checkpoint
from a2sg_zoo.errors import CheckpointError, ConfigError
from tests.engine import toy


@pytest.mark.parametrize('resume', [True, False])
def test_the_runner_refuses_a_checkpoint_of_another_network(tmp_path, resume):
    toy.runner(tmp_path / 'a', max_iters=1).train()
    path = tmp_path / 'a' / 'iter_1.pth'
    contents = torch.load(path, weights_only=False)
    contents['meta']['cfg'] = "model = dict(type='EncoderDecoder', backbone=dict(type='Spikformer', depth=2))"
    torch.save(contents, path)
    with pytest.raises(CheckpointError) as error:
        toy.runner(tmp_path / 'b', model=toy.Net(width=9), load_from=str(path), resume=resume).train()
    assert str(path) in str(error.value) and 'features.0.weight (8, 4) here (9, 4)' in str(error.value)
    assert 'type EncoderDecoder, backbone Spikformer' in str(error.value)


class Disk(Hook):
    """Lists the checkpoints in a folder whenever one is written, and fails to write when told to."""

    priority = 'LOWEST'

    def __init__(self, folder, monkeypatch, full_from=None):
        self.seen, self.folder, self.full_from = [], Path(folder), full_from
        replace = os.replace

        def watched(source, target):
            if self.full_from and Path(target).name == self.full_from:
                raise OSError(28, 'No space left on device')
            self.seen.append(self.names())
            replace(source, target)

        monkeypatch.setattr(os, 'replace', watched)

    def names(self):
        return sorted(path.name for path in self.folder.glob('*.pth'))


def test_an_old_checkpoint_outlives_the_writing_of_the_new(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    toy.runner(tmp_path, checkpoint=dict(max_keep_ckpts=1), hooks=[disk]).train()
    assert disk.seen == [
        [],
        ['iter_4.pth'],
        ['iter_4.pth'],
        ['iter_4.pth', 'iter_8.pth'],
        ['iter_8.pth'],
        ['iter_12.pth', 'iter_8.pth'],
    ]
    assert disk.names() == ['iter_12.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_12.pth'


def test_a_full_disk_costs_no_checkpoint(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch, full_from='iter_8.pth')
    with pytest.raises(CheckpointError, match='iter_8.pth could not be written'):
        toy.runner(tmp_path, checkpoint=dict(max_keep_ckpts=1), hooks=[disk]).train()
    assert disk.names() == ['iter_4.pth']
    assert find_resume_checkpoint(tmp_path) == str(tmp_path / 'iter_4.pth')


class Score(Hook):
    """Reports ever better scores to the checkpoint hook, as a validation would."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.iter + 1) % 4 == 0:
            runner.train_loop._iter += 1  # validation sees the number of finished iterations
            next(h for h in runner.hooks if hasattr(h, 'save_best')).after_val_epoch(runner, dict(mIoU=runner.iter))
            runner.train_loop._iter -= 1


def test_the_best_checkpoint_outlives_the_writing_of_a_better(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch, full_from='best_mIoU_iter_12.pth')
    with pytest.raises(CheckpointError, match='best_mIoU_iter_12.pth'):
        toy.runner(tmp_path, checkpoint=dict(save_best='mIoU', max_keep_ckpts=1), hooks=[Score(), disk]).train()
    assert [name for name in disk.names() if name.startswith('best')] == ['best_mIoU_iter_8.pth']


@pytest.mark.parametrize(
    'key, value',
    [
        ('interval', 0),
        ('interval', 2.5),
        ('interval', True),
        ('max_keep_ckpts', 0),
        ('max_keep_ckpts', 'all'),
        ('save_begin', -1),
        ('rule', 'larger'),
        ('save_best', 3),
        ('save_best', 'auto'),
        ('save_best', 'perplexity'),
    ],
)
def test_the_hook_names_a_wrong_value(key, value):
    with pytest.raises(ConfigError, match=key):
        saving.AtomicCheckpointHook(**{key: value})
