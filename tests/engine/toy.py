"""A small run whose every step draws random numbers, and which may be killed."""

import itertools
import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import nn

from a2sg_zoo.datasets.seeding import SeededItems
from a2sg_zoo.engine.hooks.checkpoint import AtomicCheckpointHook
from a2sg_zoo.engine.resume import find_resume_checkpoint
from a2sg_zoo.engine.runner import ZooRunner
from a2sg_zoo.hub import files

MAX_ITERS = 12
ROOT = Path(__file__).resolve().parents[2]
_runs = itertools.count()


class Points:
    metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return 10

    def __getitem__(self, index):
        noise = torch.rand(4) + np.random.rand() + random.random()
        return dict(inputs=torch.full((4,), float(index)) + noise, targets=torch.tensor(index / 10))


class AugmentedPoints(SeededItems, Points):
    pass


class Net(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, 1)

    def forward(self, inputs, targets, mode='tensor'):
        inputs, targets = torch.stack(list(inputs)), torch.stack(list(targets))
        output = self.head(self.features(inputs)).squeeze(1)
        return dict(loss=(output - targets).square().mean()) if mode == 'loss' else [output]


class ScriptedScore(BaseMetric):
    """Gives, after iteration i, the i-th of the given scores as `acc`."""

    def __init__(self, scores):
        super().__init__(prefix=None)
        self.scores = scores

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        # of the last iteration, from 0, or of the next one where the run has just been resumed
        last = MessageHub.get_current_instance().get_info('iter')
        return dict(acc=self.scores.get(last + 1, self.scores.get(last)))


class Journal(Hook):
    """Writes down every loss at once, and kills the process at a given iteration."""

    def __init__(self, path, kill_at=None):
        self.path, self.kill_at = Path(path), kill_at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with open(self.path, 'a') as file:
            file.write(json.dumps([runner.iter + 1, outputs['loss'].item().hex()]) + '\n')
        if runner.iter + 1 == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def journal(path):
    """{iteration: loss}, the last line of each iteration."""
    return dict(json.loads(line) for line in Path(path).read_text().splitlines())


def runner(
    work_dir,
    model=None,
    workers=0,
    hooks=(),
    checkpoint=None,
    seed=7,
    max_iters=MAX_ITERS,
    batch_size=3,
    clip_grad=None,
    default_hooks=None,
    sampler='ResumableSampler',
    loop=None,
    accumulative_counts=1,
    scores=None,
    val_interval=MAX_ITERS,
    log_level='ERROR',
    lr=0.01,
    param_scheduler=None,
    **kwargs,
):
    """A runner for the toy; `checkpoint` holds arguments for the checkpoint hook, `scores` those of evaluations."""
    checkpoint = dict(by_epoch=False, interval=4) | (checkpoint or {})
    if scores:
        kwargs |= dict(
            val_dataloader=dict(batch_size=5, dataset=Points(), sampler=dict(type='DefaultSampler', shuffle=False)),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=dict(type=ScriptedScore, scores=scores),
        )
    if kwargs.get('resume') and not kwargs.get('load_from'):
        kwargs['load_from'] = find_resume_checkpoint(work_dir)
    return ZooRunner(
        model=model or Net(),
        work_dir=str(work_dir),
        experiment_name=f'toy{next(_runs)}',
        log_level=log_level,
        train_dataloader=dict(
            batch_size=batch_size, num_workers=workers, dataset=AugmentedPoints(), sampler=dict(type=sampler)
        ),
        train_cfg=loop or dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=val_interval),
        default_scope='a2sg_zoo',
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=lr),
            clip_grad=clip_grad,
            accumulative_counts=accumulative_counts,
        ),
        param_scheduler=param_scheduler or [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8)],
        default_hooks=dict(
            checkpoint=AtomicCheckpointHook(**checkpoint), step_seed=dict(type='StepSeedHook'), **(default_hooks or {})
        ),
        custom_hooks=list(hooks),
        randomness=dict(seed=seed),
        **kwargs,
    )


def _kill_while_saving(name):
    replace = os.replace

    def replace_or_die(source, target):
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    files.os.replace = replace_or_die


def in_new_process(work_dir, **kwargs):
    """The exit status of `run` in a process of its own."""
    context = multiprocessing.get_context('forkserver')
    # one server imports what all processes need; where to find it, it learns from the environment only
    context.set_forkserver_preload(['tests.engine.toy'])
    here = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT), here]))
    try:
        process = context.Process(target=run, args=[work_dir], kwargs=kwargs)
        process.start()
    finally:
        os.environ['PYTHONPATH'] = here or ''
    process.join()
    return process.exitcode


def run(work_dir, workers=0, resume=False, kill_at=None, kill_in_save=None, **kwargs):
    """Trains in this process, to the end or until iteration `kill_at`, or into the saving of `kill_in_save`."""
    torch.manual_seed(123 if resume else 0)
    if kill_in_save:
        _kill_while_saving(kill_in_save)
    journal = Journal(Path(work_dir) / 'losses.jsonl', kill_at)
    runner(work_dir, workers=workers, resume=resume, hooks=[journal], **kwargs).train()
