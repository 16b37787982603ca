"""CIFAR-10 on one device in a fixed number of minutes: measure, choose the number of iterations, train, evaluate.

A network of counts is trained first, and each method then trains its weights with spikes.
"""

import gc
import json
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from a2sg_zoo.benchmark.gpu.journal import Journal
from a2sg_zoo.benchmark.gpu.runs import FIRST, TIME_STEPS, Run, affordable, measure, parsed, plan_words
from a2sg_zoo.engine.run import test, train
from a2sg_zoo.errors import A2SGError, ConfigError, DataError
from a2sg_zoo.hub.archives import extract
from a2sg_zoo.hub.files import expanded
from a2sg_zoo.registry import DATASETS

HEADS = ('run', 'state', 'minutes', 'iterations', 'top-1, T = 1', 'T = 2', 'T = 4')
# share of the first run in the minutes
_SHARE = 0.5
# what a smoke test trains
_SMOKE = [
    'model.backbone.widths=(8,16,16)',
    'model.backbone.stem=4',
    'model.head.in_channels=16',
    'train_dataloader.dataset.per_class=(0,10)',
    'val_dataloader.dataset.per_class=(0,5)',
    'test_dataloader.dataset.per_class=(0,5)',
]
_SMOKE_ITERATIONS = 16


def report_training(
    out: str | os.PathLike,
    methods: Sequence[str],
    minutes: float,
    options: Sequence[str],
    data: str | os.PathLike | None,
    device: torch.device,
    facts: dict[str, Any],
    smoke: bool = False,
) -> None:
    """Train `COUNTS`, then `SPIKES` with each method, in their shares of the minutes; write training.json and .md.

    A run that is finished in the report is kept. One that was interrupted continues with its plan.

    Args:
        out: folder of the report; `counts` and METHOD in it are the folders of the runs.
        methods: in their order; the first one gets its share first, and what it leaves goes to the others.
        minutes: of all runs together, with the evaluations.
        options: more words KEY=VALUE for both configs.
        data: folder or archive of the images; None for that of the configs.
        device: device of the runs.
        facts: see `a2sg_zoo.benchmark.gpu.journal.device_facts`.
        smoke: take embedded digits and a tiny network.

    Raises:
        ConfigError: an option or method is wrong, the folder is another's, or the minutes are too few.
        DataError: the images are missing or damaged.
        A2SGError: a run failed; the other methods were tried nevertheless, unless the first run left no weights.
    """
    end = time.monotonic() + 60 * minutes
    journal = Journal(out, 'training', 'CIFAR-10 in a fixed number of minutes', facts, HEADS, cells)
    known = _earlier(journal, options, smoke)
    words = (*(_SMOKE if smoke else ()), *options)
    first = Run(words, smoke)
    first.cfg(journal.folder)  # a mistake in the options ends here, before an archive is unpacked
    methods = [*dict.fromkeys(methods)]
    if parsed([f'folder={journal.folder}']) != dict(folder=str(journal.folder)):
        raise ConfigError(f'--out {out}: --cfg-options cannot name a file in it; choose one without commas')
    for method in methods:
        if os.sep in method:
            raise ConfigError(f'--methods {method}: a method of gpu_report must be a name, such as a2sg')
        Run(words, smoke, method).cfg(journal.folder)
    for name in (FIRST, *methods):
        if not known.get(name, {}).get('plan') and any((journal.folder / name).glob('*.pth')):
            raise ConfigError(f'{journal.folder / name} holds checkpoints of another run; choose another --out')
    if data is not None:
        facts['CIFAR10_FOLDER'] = os.environ['CIFAR10_FOLDER'] = str(_folder(data, journal.folder))
    cfg = first.cfg(journal.folder)
    start = time.monotonic()
    sizes = [_size(cfg[f'{name}_dataloader'].dataset) for name in ('train', 'test')]
    reading = time.monotonic() - start
    facts.update(training_images=sizes[0], test_images=sizes[1], seconds_to_read_them=round(reading, 2))
    facts['options'] = [*options]
    journal.rows.extend(
        known.get(name) or dict(run=name, state='waiting', plan=None, top1={}) for name in (FIRST, *methods)
    )
    journal.write()
    for number, row in enumerate(journal.rows):
        if row['state'] == 'finished':
            continue
        run = first
        if number:
            run = Run((*words, f'model.init_cfg.checkpoint={_first_weights(journal)}'), smoke, row['run'])
        share = 1 / (len(journal.rows) - number) if number else _SHARE
        try:
            _run(run, row, journal, share * (end - time.monotonic()), sizes, reading, device)
        except Exception as error:  # of any kernel or library; the other methods are still worth their time
            row.update(state='failed', reason=f'{type(error).__name__}: {error}'[:2000])
        journal.write()
        gc.collect()  # the network and the images of this run
        with suppress(RuntimeError):  # of a kernel that failed
            torch.cuda.empty_cache()
        if not number and not _first_weights(journal).is_file():
            break
    print(journal.text())
    failed = [row for row in journal.rows if row['state'] == 'failed']
    if failed:
        raise A2SGError('; '.join(f'{row["run"]}: {row["reason"]}' for row in failed))


def _run(
    run: Run,
    row: dict[str, Any],
    journal: Journal,
    seconds: float,
    sizes: list[int],
    reading: float,
    device: torch.device,
) -> None:
    """Plans, trains and evaluates; the row is on the disk after each of these."""
    start, folder = time.monotonic(), journal.folder / run.name
    if not row['plan']:
        if seconds <= 0:
            raise ConfigError('--minutes: the time was up; pass more minutes or fewer --methods')
        row['state'] = 'measured'
        journal.write()
        found = measure(run, device)
        left = seconds - (time.monotonic() - start)
        iterations = _SMOKE_ITERATIONS if run.smoke else affordable(run, found, left, sizes, reading)
        row.update(iterations=iterations, planned_seconds=round(left, 1), measured=found._asdict())
        row['plan'] = plan_words(run.config, iterations)
        row['command'] = run.command(folder, row['plan'])
    continues = folder.is_dir() and any(folder.glob('iter_*.pth')) and row['state'] != 'measured'
    row.update(state='training', resumed=continues)
    journal.write()
    print(row['command'], flush=True)
    began = time.monotonic()
    runner = train(run.cfg(folder, *row['plan']), resume='auto' if continues else None)
    row['minutes'] = round((time.monotonic() - began) / 60 + row.get('minutes', 0), 2)
    row.update(state='evaluated', iterations=runner.iter, folder=str(folder))
    del runner
    journal.write()
    scores = test(run.cfg(folder, *row['plan']), 'last')
    row['top1'] = {str(T): round(scores[f'top1_t{T}'], 4) for T in run.time_steps}
    name, summary = run.config, 'A wide ResNet-9 trained with counts of spikes.'
    if run.method:
        name, summary = f'{name}_{run.method}', f'{summary[:-1]}, then with spikes and {run.method}.'
    row['publish'] = shlex.join(
        ['a2sg-zoo', 'publish', str(folder), '--name', name, '--summary', summary, '--command', row['command']]
    )
    row['state'] = 'finished'
    row['markdown'] = described(row)


def _first_weights(journal: Journal) -> Path:
    """The weights that the first run ends with, and that the methods begin with."""
    return journal.folder / FIRST / f'iter_{journal.rows[0].get("iterations")}.pth'


def cells(row: dict[str, Any]) -> list[object]:
    """Return the cells of a row under `HEADS`."""
    top1 = [f'{row["top1"][str(T)]:.2f}' if str(T) in row['top1'] else '' for T in TIME_STEPS]
    state = f'failed: {row["reason"][:200]}' if row['state'] == 'failed' else row['state']
    minutes = row.get('minutes', '')
    # those of an attempt that was cut off are not known
    return [row['run'], state, f'over {minutes}' if row.get('resumed') else minutes, row.get('iterations', ''), *top1]


def described(row: dict[str, Any]) -> str:
    """Return Markdown with the commands that repeat a run, with CIFAR10_FOLDER set, and publish its weights."""
    commands = dict(Repeat=row['command'], Publish=row['publish'])
    return '\n\n'.join([f'## {row["run"]}', *(f'{name}:\n\n    {text}' for name, text in commands.items())])


def _earlier(journal: Journal, options: Sequence[str], smoke: bool) -> dict[str, dict[str, Any]]:
    """The rows of an earlier report in the folder, {run: row}."""
    if not journal.json.is_file() or not journal.json.stat().st_size:
        return {}
    try:
        earlier = json.loads(journal.json.read_text())
        known = {row['run']: row for row in earlier['rows']}
        same = (earlier['facts'].get('options', [*options]), earlier['facts']['smoke']) == ([*options], smoke)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{journal.json} is damaged, or of another version ({error}); choose another --out'
        ) from error
    if not same:
        raise ConfigError(f'{journal.json} is of another training; choose another --out')
    for row in known.values():
        row['top1'] = row.get('top1') or {}
        if row['state'] == 'finished':
            row['markdown'] = described(row)
    return known


def _size(dataset: dict[str, Any]) -> int:
    """The number of images of a data set, all of which are read."""
    return len(DATASETS.build({key: value for key, value in dataset.items() if key != 'device'}))


def _folder(data: str | os.PathLike, out: Path) -> Path:
    """The folder that holds train/ and test/; an archive is unpacked."""
    data = expanded(data)
    if not data.exists():
        raise DataError(f'--data {data} does not exist; name a folder or an archive of images')
    if data.is_file():
        data = extract(data, out / 'data')
    for folder in (data, *(path for path in data.iterdir() if path.is_dir())):
        if (folder / 'train').is_dir() and (folder / 'test').is_dir():
            return folder.absolute()
    raise DataError(f'--data {data} holds no folders train and test')
