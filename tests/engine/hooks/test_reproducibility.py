"""Random numbers are functions of seed and step; a killed run goes on as if it had not been."""

import json
import random
import signal
import sys
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from torch.utils.data import DataLoader

from a2sg_zoo.engine.hooks import RunInfoHook, StepSeedHook
from a2sg_zoo.engine.hooks.reproducibility import mixed_seed
from a2sg_zoo.engine.samplers import ResumableEpochSampler, ResumableSampler
from a2sg_zoo.errors import ConfigError
from tests.engine import toy

DATA = range(10)


def as_process(monkeypatch, rank, world_size):
    for module in 'mmengine.dataset.sampler', 'a2sg_zoo.engine.samplers':
        monkeypatch.setattr(f'{module}.get_dist_info', lambda: (rank, world_size))


def stream(sampler, n=35):
    return [(int(index), index.seed) for index in islice(iter(sampler), n)]


# samplers


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('rank, world_size', [(0, 1), (0, 3), (2, 3)])
def test_the_indices_are_those_of_mmengine(monkeypatch, rank, world_size, shuffle):
    as_process(monkeypatch, rank, world_size)
    theirs = InfiniteSampler(DATA, shuffle=shuffle, seed=5)
    assert [i for i, _ in stream(ResumableSampler(DATA, shuffle=shuffle, seed=5))] == list(islice(iter(theirs), 35))


def test_processes_share_one_stream_of_seeds(monkeypatch):
    alone = stream(ResumableSampler(DATA, seed=5))
    for rank in range(3):
        as_process(monkeypatch, rank, 3)
        assert stream(ResumableSampler(DATA, seed=5), 11) == alone[rank::3][:11]


def test_seeds_differ_between_visits_and_between_runs():
    seeds = [seed for _, seed in stream(ResumableSampler(DATA, seed=5), 100)]
    assert len({seed % 2**32 for seed in seeds}) == 100
    assert not set(seeds) & {seed for _, seed in stream(ResumableSampler(DATA, seed=6), 100)}


@pytest.mark.parametrize('rank, world_size', [(0, 1), (1, 2)])
def test_skip_goes_on_where_an_uninterrupted_run_is(monkeypatch, rank, world_size):
    as_process(monkeypatch, rank, world_size)
    whole = stream(ResumableSampler(DATA, seed=5))
    resumed = ResumableSampler(DATA, seed=5)
    resumed.skip(13)
    assert stream(resumed, 22) == whole[13:]


def test_an_epoch_is_that_of_mmengine_with_seeds():
    ours, theirs = ResumableEpochSampler(DATA, seed=5), DefaultSampler(DATA, seed=5)
    seeds = set()
    for epoch in range(2):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert list(ours) == list(theirs)
        seeds |= {index.seed for index in ours}
    assert len(seeds) == 20


def test_augmentation_does_not_depend_on_workers():
    def batches(workers):
        loader = DataLoader(
            toy.AugmentedPoints(),
            batch_size=3,
            num_workers=workers,
            collate_fn=pseudo_collate,
            sampler=ResumableSampler(DATA, seed=5),
        )
        return torch.stack([x for batch in islice(loader, 6) for x in batch['inputs']])

    assert torch.equal(batches(0), batches(2))


# steps


def step(seed=1, rank=0, iteration=0):
    StepSeedHook().before_train_iter(SimpleNamespace(seed=seed, rank=rank, iter=iteration), 0)
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_a_step_depends_on_seed_rank_and_iteration_only():
    steps = {(s, r, i): step(s, r, i) for s in range(3) for r in range(3) for i in range(3)}
    assert all(step(*key) == value for key, value in steps.items())
    assert len({x for value in steps.values() for x in value}) == 3 * len(steps)


def test_neighbouring_seeds_are_unrelated():
    flips = [bin(mixed_seed(0, i) ^ mixed_seed(0, i + 1)).count('1') for i in range(200)]
    assert 28 < np.mean(flips) < 36  # of 64 bits


def test_the_guard_against_a_sampler_without_a_common_seed(tmp_path):
    runner = toy.runner(tmp_path, max_iters=1)
    runner._randomness_cfg['diff_rank_seed'] = True
    with pytest.raises(ConfigError, match='diff_rank_seed'):
        runner.train()


@pytest.mark.parametrize('given', [5, None])
def test_a_sampler_keeps_a_seed_that_the_config_gives_it(given):
    sampler = ResumableSampler(DATA, seed=5)
    cfg = dict(train_dataloader=dict(sampler=dict(seed=given)))
    loader = SimpleNamespace(sampler=sampler)
    StepSeedHook().before_train(SimpleNamespace(_randomness_cfg={}, cfg=cfg, seed=7, train_dataloader=loader))
    assert sampler.seed == (given or 7)


def test_a_run_that_drew_its_own_seed_resumes_with_it(tmp_path):
    toy.runner(tmp_path, seed=None, max_iters=4, hooks=[toy.Journal(tmp_path / 'losses')]).train()
    runner = toy.runner(tmp_path, seed=None, max_iters=6, resume=True)
    runner.train()
    assert runner.train_dataloader.sampler.seed == runner.seed
    assert runner.seed == torch.load(tmp_path / 'iter_4.pth', weights_only=False)['meta']['seed']


# whole runs


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    """The losses and the last checkpoint of a run that nobody killed."""
    path = tmp_path_factory.mktemp('whole')
    assert toy.in_new_process(path) == 0
    losses = toy.journal(path / 'losses.jsonl')
    assert list(losses) == list(range(1, toy.MAX_ITERS + 1))
    return losses, torch.load(path / f'iter_{toy.MAX_ITERS}.pth', weights_only=False)


@pytest.mark.parametrize(
    'workers, kill',
    [(0, dict(kill_at=6)), (2, dict(kill_at=10)), (0, dict(kill_in_save='iter_8.pth'))],
    ids=['0 workers', '2 workers', 'in the middle of a save'],
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, uninterrupted, workers, kill):
    losses, final = uninterrupted
    assert toy.in_new_process(tmp_path, workers=workers, **kill) == -signal.SIGKILL
    assert len(toy.journal(tmp_path / 'losses.jsonl')) < toy.MAX_ITERS
    assert bool(list(tmp_path.glob('.*'))) == ('kill_in_save' in kill)
    assert toy.in_new_process(tmp_path, workers=workers, resume=True) == 0
    assert toy.journal(tmp_path / 'losses.jsonl') == losses
    ours = torch.load(tmp_path / f'iter_{toy.MAX_ITERS}.pth', weights_only=False)
    assert all(torch.equal(ours['state_dict'][key], value) for key, value in final['state_dict'].items())
    assert not list(tmp_path.glob('.*'))


def test_the_run_is_described(tmp_path):
    toy.runner(tmp_path, max_iters=1, hooks=[RunInfoHook()]).train()
    info = json.loads((tmp_path / 'run.json').read_text())
    assert info['seed'] == 7 and info['torch'] == torch.__version__ and info['command'][1:] == sys.argv
    assert info['device'].startswith('cpu') or torch.cuda.is_available()
    assert {'a2sg_zoo', 'python', 'onedl-mmengine', 'onedl-mmcv', 'commit', 'world_size'} <= info.keys()


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    from a2sg_zoo.engine.hooks import reproducibility

    monkeypatch.setattr(reproducibility, '__file__', '/usr/lib/reproducibility.py')
    assert reproducibility._commit() is None
