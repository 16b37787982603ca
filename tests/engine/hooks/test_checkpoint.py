"""The checkpoints of a run: what survives a full disk and a kill, and what fits."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from a2sg_zoo.engine.hooks import checkpoint as saving
from a2sg_zoo.engine.logs import read_records
from a2sg_zoo.engine.resume import find_resume_checkpoint
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
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
    assert str(path) in str(error.value) and 'features.0.weight' in str(error.value)
    assert 'EncoderDecoder' in str(error.value) and 'Spikformer' in str(error.value)


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
    with pytest.raises(CheckpointError, match='iter_8.pth'):
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


# evaluations and the best checkpoint

SCORES = {3: 7.8, 6: 36.1, 9: 20.0, 12: 30.0}
EVALUATED = dict(scores=SCORES, val_interval=3, checkpoint=dict(interval=3, save_best='acc', max_keep_ckpts=2))


def killed(folder, **kwargs):
    """Whether a run of another process was killed, as it was to be."""
    return toy.in_new_process(folder, **EVALUATED | kwargs) == -signal.SIGKILL


def best_of(folder):
    return sorted(path.name for path in folder.glob('best_*'))


def evaluations(folder):
    return {
        record['iter']: record['metrics']['acc'] for record in read_records(folder / 'evaluations.jsonl', 'metrics')
    }


def test_an_evaluation_that_a_kill_prevented_is_run_on_resume(tmp_path):
    assert killed(tmp_path, kill_in_save='best_acc_iter_6.pth')
    assert evaluations(tmp_path) == {3: 7.8} and best_of(tmp_path) == ['best_acc_iter_3.pth']
    # the run is at its end, and nothing is trained
    toy.run(tmp_path, resume=True, max_iters=6, **EVALUATED)
    assert evaluations(tmp_path) == {3: 7.8, 6: 36.1} and best_of(tmp_path) == ['best_acc_iter_6.pth']


def test_the_best_stays_the_best_over_a_chain_of_kills(tmp_path):
    for kill in (
        dict(kill_in_save='best_acc_iter_3.pth'),
        dict(kill_at=5),
        dict(kill_at=8),
        dict(kill_in_save='iter_9.pth'),
    ):
        assert killed(tmp_path, resume=find_resume_checkpoint(tmp_path) is not None, **kill)
    toy.run(tmp_path, resume=True, **EVALUATED)
    assert best_of(tmp_path) == ['best_acc_iter_6.pth'] and evaluations(tmp_path) == SCORES
    assert [path.name for path in sorted(tmp_path.glob('iter_*'))] == ['iter_12.pth', 'iter_9.pth']


def test_an_evaluation_on_record_is_not_run_again(tmp_path):
    toy.run(tmp_path, max_iters=6, **EVALUATED)
    runner = toy.runner(tmp_path, resume=True, max_iters=6, **EVALUATED)
    runner.val_loop.run = lambda: pytest.fail('evaluated again')
    runner.train()


def test_a_schedule_by_scores_resumes_exactly(tmp_path):
    """The checkpoint of an iteration is saved before the evaluation of that iteration."""
    schedule = dict(type='ReduceOnPlateauLR', monitor='acc', rule='greater', patience=0, factor=0.5)
    options = dict(param_scheduler=[schedule], **EVALUATED)

    def last_rate(**kwargs):
        runner = toy.runner(tmp_path, **options, **kwargs)
        runner.train()
        return runner.optim_wrapper.get_lr()['lr'][0]

    assert last_rate(max_iters=9) == 0.005
    assert last_rate(resume=True) == 0.0025


def test_a_superseded_best_is_removed_and_a_damaged_one_is_left(tmp_path):
    toy.run(tmp_path, max_iters=6, **EVALUATED)
    contents = read_checkpoint(tmp_path / 'best_acc_iter_6.pth')
    contents['message_hub']['runtime_info']['best_score_acc'] = 7.8
    torch.save(contents, tmp_path / 'best_acc_iter_3.pth')
    (tmp_path / 'best_acc_iter_1.pth').write_bytes(b'cut')
    toy.run(tmp_path, resume=True, max_iters=7, **EVALUATED | dict(scores=SCORES | {7: 8.0}))
    assert best_of(tmp_path) == ['best_acc_iter_1.pth', 'best_acc_iter_6.pth']


def test_a_checkpoint_of_mmengines_hook_tells_its_score_too(tmp_path):
    toy.run(tmp_path, max_iters=6, **EVALUATED)
    contents = read_checkpoint(tmp_path / 'best_acc_iter_6.pth')
    runtime = contents['message_hub']['runtime_info']
    runtime['best_score'] = runtime.pop('best_score_acc')
    torch.save(contents, tmp_path / 'best_acc_iter_6.pth')
    toy.run(tmp_path, resume=True, **EVALUATED)
    assert best_of(tmp_path) == ['best_acc_iter_6.pth']


def test_a_score_that_is_not_finite_is_null_and_never_the_best(tmp_path):
    toy.run(tmp_path, **EVALUATED | dict(scores={3: float('nan'), 6: 1.0, 9: float('nan'), 12: 0.5}))
    assert evaluations(tmp_path) == {3: None, 6: 1.0, 9: None, 12: 0.5}
    assert best_of(tmp_path) == ['best_acc_iter_6.pth']


def test_less_may_be_better(tmp_path):
    toy.run(tmp_path, **EVALUATED | dict(checkpoint=dict(save_best='acc', rule='less')))
    assert best_of(tmp_path) == ['best_acc_iter_3.pth']


def test_a_score_that_no_evaluation_gives_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'save_best.*topp.*acc'):
        toy.run(tmp_path, **EVALUATED | dict(checkpoint=dict(save_best='topp')))


def test_a_copy_of_the_folder_continues_from_its_own_files(tmp_path):
    toy.run(tmp_path / 'a', max_iters=6, **EVALUATED)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    for path in (tmp_path / 'a').glob('*.pth'):
        path.write_bytes(b'changed')
    toy.run(tmp_path / 'b', resume=True, **EVALUATED | dict(scores=SCORES | {12: 50.0}))
    assert best_of(tmp_path / 'b') == ['best_acc_iter_12.pth']
    assert {path.read_bytes() for path in (tmp_path / 'a').glob('*.pth')} == {b'changed'}


# accumulated gradients


def saved_at(folder):
    return sorted(int(path.stem.removeprefix('iter_')) for path in folder.glob('iter_*.pth'))


@pytest.mark.parametrize(
    'counts, interval, expected', [(3, 4, [6, 9, 12]), (2, 3, [4, 6, 10, 12]), (5, 2, [5, 10, 12])]
)
def test_checkpoints_end_whole_steps_and_resume_exactly(tmp_path, counts, interval, expected):
    options = dict(accumulative_counts=counts, checkpoint=dict(interval=interval), hooks=[])
    toy.runner(tmp_path / 'whole', **options).train()
    assert saved_at(tmp_path / 'whole') == expected
    final = read_checkpoint(tmp_path / 'whole' / 'iter_12.pth')['state_dict']
    for step in expected[:-1]:
        folder = tmp_path / str(step)
        toy.runner(folder, resume=True, load_from=str(tmp_path / 'whole' / f'iter_{step}.pth'), **options).train()
        assert saved_at(folder) == [i for i in expected if i > step]
        found = read_checkpoint(folder / 'iter_12.pth')['state_dict']
        assert all(torch.equal(found[name], x) for name, x in final.items())


@pytest.mark.parametrize('counts, interval', [(1, 2), (4, 1)])
def test_checkpoints_by_epochs(tmp_path, counts, interval):
    """An epoch has two iterations; where a step has four, it ends with every second epoch, and with the training."""
    loop = dict(type='EpochBasedTrainLoop', max_epochs=3)
    options = dict(loop=loop, sampler='ResumableEpochSampler', batch_size=5, accumulative_counts=counts)
    options['checkpoint'] = dict(by_epoch=True, interval=interval)
    toy.runner(tmp_path / 'a', **options).train()
    assert sorted(path.name for path in (tmp_path / 'a').glob('*.pth')) == ['epoch_2.pth', 'epoch_3.pth']
    final = read_checkpoint(tmp_path / 'a' / 'epoch_3.pth')['state_dict']
    toy.runner(tmp_path / 'b', resume=True, load_from=str(tmp_path / 'a' / 'epoch_2.pth'), **options).train()
    found = read_checkpoint(tmp_path / 'b' / 'epoch_3.pth')['state_dict']
    assert all(torch.equal(found[name], x) for name, x in final.items())


def test_a_loop_over_epochs_saves_at_the_end_of_one(tmp_path):
    loop = dict(type='EpochBasedTrainLoop', max_epochs=3)
    with pytest.raises(ConfigError, match='default_hooks.checkpoint.by_epoch'):
        toy.runner(tmp_path, loop=loop, sampler='ResumableEpochSampler', batch_size=5).train()


def test_a_folder_that_vanished_is_said_and_made_again(tmp_path):
    class Remove(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter + 1 == 6:
                shutil.rmtree(runner.work_dir)

    warnings = []
    runner = toy.runner(tmp_path / 'run', hooks=[Remove()])
    runner.logger.warning = warnings.append
    runner.train()
    assert saved_at(tmp_path / 'run') == [8, 12]
    assert len(warnings) == 1 and str(tmp_path / 'run') in warnings[0]
