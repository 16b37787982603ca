"""CIFAR-10 on one device in a fixed number of minutes: measure, choose the number of iterations, train, evaluate."""

import argparse
import gc
import json
import os
import shlex
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from a2sg_zoo.benchmark.gpu.journal import Journal
from a2sg_zoo.benchmark.speed.timing import wait
from a2sg_zoo.engine.arguments import add_options_argument
from a2sg_zoo.engine.build import build_runner, read_loader
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.run import prepare_config, test, train
from a2sg_zoo.errors import A2SGError, ConfigError, DataError
from a2sg_zoo.hub.archives import extract
from a2sg_zoo.hub.files import expanded
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.models import unwrap_model

CONFIG = 'resnet9_gpu_cifar10'
HEADS = ('method', 'state', 'minutes', 'iterations', 'top-1, T = 1', 'T = 2', 'T = 4')
_TIME_STEPS = (1, 2, 4)
# of the time that is left, what the plan uses: checkpoints and logs take the rest
_USED = 0.9
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


class Measured(NamedTuple):
    """What a short run costs, in seconds.

    Attributes:
        step: {T: seconds of an iteration}, the search of a policy among them.
        image: seconds for an image of an evaluation.
        setup: seconds from the start of a run to its first iteration, without the reading of the data.
    """

    step: dict[int, float]
    image: float
    setup: float


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
    """Train `CONFIG` with each method in its share of the minutes, and write training.json and training.md.

    A method that is finished in the report is kept. One that was interrupted continues with its plan.

    Args:
        out: folder of the report; METHOD in it is the folder of a run.
        methods: in their order; the first one gets its share first, and what it leaves goes to the others.
        minutes: of all runs together, with the evaluations.
        options: more words KEY=VALUE for the config.
        data: folder or archive of the images; None for that of the config.
        device: device of the runs.
        facts: see `a2sg_zoo.benchmark.gpu.journal.device_facts`.
        smoke: take embedded digits and a tiny network.

    Raises:
        ConfigError: an option or method is wrong, the folder is another's, or the minutes are too few.
        DataError: the images are missing or damaged.
        A2SGError: a run failed; the others were done nevertheless.
    """
    end = time.monotonic() + 60 * minutes
    journal = Journal(out, 'training', 'CIFAR-10 in a fixed number of minutes', facts, HEADS, cells)
    known = _earlier(journal, options, smoke)
    words = [*(_SMOKE if smoke else []), *options]
    base = prepare_config(CONFIG, _parsed(words), demo=smoke)
    methods = [*dict.fromkeys(methods)]
    for method in methods:
        if os.sep in method:
            raise ConfigError(f'--methods {method}: a method of gpu_report must be a name, such as a2sg')
        load_config(CONFIG, None, False, [method])
    if data is not None:
        facts['CIFAR10_FOLDER'] = os.environ['CIFAR10_FOLDER'] = str(_folder(data, journal.folder))
        base = prepare_config(CONFIG, _parsed(words), demo=smoke)
    start = time.monotonic()
    sizes = [_size(base[f'{name}_dataloader'].dataset) for name in ('train', 'test')]
    reading = time.monotonic() - start
    facts.update(training_images=sizes[0], test_images=sizes[1], seconds_to_read_them=round(reading, 2))
    facts['options'] = [*options]
    journal.rows.extend(
        known.get(method) or dict(method=method, state='waiting', words=None, top1={}) for method in methods
    )
    journal.write()
    for number, row in enumerate(journal.rows):
        if row['state'] == 'finished':
            continue
        left = (end - time.monotonic()) / (len(journal.rows) - number)
        try:
            _run(row, journal, words, left, sizes, reading, device, smoke)
        except Exception as error:  # of any kernel or library; the other methods are still worth their time
            row.update(state='failed', reason=f'{type(error).__name__}: {error}'[:2000])
        journal.write()
        gc.collect()  # the network and the images of this run
        if device.type == 'cuda':
            torch.cuda.empty_cache()
    print(journal.text())
    failed = [row for row in journal.rows if row['state'] == 'failed']
    if failed:
        raise A2SGError('; '.join(f'{row["method"]}: {row["reason"]}' for row in failed))


def _run(
    row: dict[str, Any],
    journal: Journal,
    words: list[str],
    seconds: float,
    sizes: list[int],
    reading: float,
    device: torch.device,
    smoke: bool,
) -> None:
    """Plans, trains and evaluates one method; the row is on the disk after each of these."""
    start, method, folder = time.monotonic(), row['method'], journal.folder / row['method']
    if not row['words']:
        row['state'] = 'measured'
        journal.write()
        found = measure(method, words, device, smoke)
        left = seconds - (time.monotonic() - start)
        if smoke:
            iterations = _SMOKE_ITERATIONS
        else:
            iterations = affordable(found, left, sizes, reading)
        row['words'] = [*words, *plan_words(iterations)]
        row.update(iterations=iterations, planned_seconds=round(left, 1), measured=found._asdict())
        row['command'] = _command('train', method, folder, row['words'], smoke)
    continues = folder.is_dir() and any(folder.glob('iter_*.pth')) and row['state'] != 'measured'
    row['state'] = 'training'
    journal.write()
    print(row['command'], flush=True)
    began = time.monotonic()
    runner = train(_config(method, row['words'], folder, smoke), resume='auto' if continues else None)
    row['minutes'] = round((time.monotonic() - began) / 60 + row.get('minutes', 0), 2)
    row.update(state='evaluated', iterations=runner.iter, folder=str(folder))
    del runner
    journal.write()
    for T in _TIME_STEPS:
        cfg = _config(method, [*row['words'], f'model.test_cfg.T={T}'], folder, smoke)
        row['top1'][str(T)] = round(test(cfg, 'last')['top1'], 4)
        journal.write()
    name = f'{CONFIG}_{method}'
    row['publish'] = shlex.join(
        ['a2sg-zoo', 'publish', str(folder), '--name', name, '--summary', f'A wide ResNet-9 trained with {method}.']
        + ['--command', row['command']]
    )
    row['state'] = 'finished'
    row['markdown'] = described(row)


def measure(method: str, words: Sequence[str], device: torch.device, smoke: bool = False) -> Measured:
    """Train a few iterations with each number of time steps on a part of the images, and time them.

    The last half of the iterations with one T counts: the first half compiles kernels. Its length is the interval of
    the searches, so it holds one. Of two evaluations the second counts.

    Args:
        method: name of the method.
        words: KEY=VALUE of the config.
        device: device of the run.
        smoke: see `report_training`.
    """
    each, part = (4, 10) if smoke else (40, 100)
    schedule = [(number * each, T) for number, T in enumerate(_TIME_STEPS)]
    total = each * len(_TIME_STEPS)
    parts = [f'{name}_dataloader.dataset.per_class=(0,{part})' for name in ('train', 'val')]
    words = [*words, *parts, *plan_words(total, total // 2, schedule)]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):  # the first one imports modules and starts the device, which happens once
            start = time.monotonic()
            runner = build_runner(_config(method, words, Path(folder), smoke))
            read_loader(runner, 'train_dataloader')
        clock = _Clock(device)
        runner.register_hook(clock)
        runner.train()
        images = len(runner.val_dataloader.dataset)
        cost = {T: fmean(times[-each // 2 :]) for T, times in clock.steps.items()}
        return Measured(cost, clock.evaluation / images, clock.began - start)


class _Clock(Hook):
    """Times of iterations and of the evaluation, once the device has done its work."""

    priority = 'VERY_LOW'

    def __init__(self, device: torch.device) -> None:
        self.device, self.steps = device, defaultdict[int, list[float]](list)
        self.began = self.evaluation = 0.0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Notes the first iteration."""
        self.began = self.began or self._now()
        if not self.steps:
            self._last = self.began

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Notes the time since the iteration before: of the data, the step and the hooks."""
        now = self._now()
        self.steps[unwrap_model(runner.model).backbone.T].append(now - self._last)
        self._last = now

    def before_val(self, runner: Runner) -> None:
        """Begins to time the evaluation."""
        self._last = self._now()

    def after_val(self, runner: Runner) -> None:
        """Notes the time of the evaluation."""
        now = self._now()
        self.evaluation, self._last = now - self._last, now

    def _now(self) -> float:
        wait(self.device)
        return time.monotonic()


def affordable(found: Measured, seconds: float, sizes: Sequence[int], reading: float) -> int:
    """Return the number of iterations that fit into seconds, with the evaluations of the run and those after it.

    Args:
        found: what a short run costs.
        seconds: time for all of it.
        sizes: numbers of training and test images.
        reading: seconds to read all of them.

    Raises:
        ConfigError: not even 8 iterations fit.

    >>> affordable(Measured({1: 0.01, 2: 0.02, 4: 0.04}, 0.0, 0.0), 16.0, (50000, 10000), 0.0)
    896
    """
    shares = _shares()
    evaluations, tests = shares['evaluations'], len(_TIME_STEPS)
    reading_tests = reading * sizes[1] / max(sum(sizes), 1)
    fixed = reading + (1 + tests) * found.setup + tests * reading_tests
    fixed += (evaluations + tests) * found.image * sizes[1]
    iteration = sum(share * found.step[T] for T, share in shares['time_steps'].items())
    number = int((_USED * seconds - fixed) / iteration) if seconds > 0 else 0
    if number < evaluations:
        raise ConfigError(
            f'--minutes: the time is too short for a training: {seconds:.0f} s are left for this method, of which '
            f'{fixed:.0f} s go to reading, compiling and evaluating; pass more minutes or fewer --methods'
        )
    return number - number % evaluations


def _shares() -> dict[str, Any]:
    """How the config divides its iterations: among numbers of time steps, and by evaluations."""
    cfg = load_config(CONFIG)
    total, schedule = cfg.train_cfg.max_iters, _schedule(cfg)
    ends = [start for start, _ in schedule[1:]] + [total]
    return dict(
        time_steps={T: (end - start) / total for (start, T), end in zip(schedule, ends)},
        evaluations=total // cfg.train_cfg.val_interval,
        checkpoints=total // cfg.default_hooks.checkpoint.interval,
        warmup=cfg.param_scheduler[0].end / total,
    )


def _schedule(cfg: Config) -> list[tuple[int, int]]:
    return cfg.custom_hooks[1].schedule


def plan_words(
    iterations: int, val_interval: int | None = None, schedule: Sequence[tuple[int, int]] | None = None
) -> list[str]:
    """Return the words for `--cfg-options` that stretch the schedules of `CONFIG` to a number of iterations.

    Args:
        iterations: of the training.
        val_interval: iterations between two evaluations, by default the config's share.
        schedule: pairs (first iteration, T), by default in the config's shares.

    >>> plan_words(800)[:2]
    ['train_cfg.max_iters=800', 'train_cfg.val_interval=100']
    """
    shares, cfg = _shares(), load_config(CONFIG)
    scale = iterations / cfg.train_cfg.max_iters
    schedule = schedule or [(round(start * scale), T) for start, T in _schedule(cfg)]
    warmup = max(1, round(shares['warmup'] * iterations))
    return [
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={val_interval or max(1, iterations // shares["evaluations"])}',
        f'default_hooks.checkpoint.interval={max(1, iterations // shares["checkpoints"])}',
        f'param_scheduler.0.end={warmup}',
        f'param_scheduler.1.begin={warmup}',
        f'custom_hooks.1.schedule=[{",".join(f"({start},{T})" for start, T in schedule)}]',
    ]


def cells(row: dict[str, Any]) -> list[object]:
    """Return the cells of a row under `HEADS`."""
    top1 = [f'{row["top1"][str(T)]:.2f}' if str(T) in row['top1'] else '' for T in _TIME_STEPS]
    state = f'failed: {row["reason"][:200]}' if row['state'] == 'failed' else row['state']
    return [row['method'], state, row.get('minutes', ''), row.get('iterations', ''), *top1]


def described(row: dict[str, Any]) -> str:
    """Return Markdown with the commands that repeat a run, with CIFAR10_FOLDER set, and publish its weights."""
    commands = dict(Repeat=row['command'], Publish=row['publish'])
    return '\n\n'.join([f'## {row["method"]}', *(f'{name}:\n\n    {text}' for name, text in commands.items())])


def _earlier(journal: Journal, options: Sequence[str], smoke: bool) -> dict[str, dict[str, Any]]:
    """The rows of an earlier report in the folder, {method: row}."""
    if not journal.json.is_file() or not journal.json.stat().st_size:
        return {}
    try:
        earlier = json.loads(journal.json.read_text())
        known = {row['method']: row for row in earlier['rows']}
        same = (earlier['facts'].get('options', [*options]), earlier['facts']['smoke']) == ([*options], smoke)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{journal.json} is damaged ({error}); move it away, or choose another --out') from error
    if not same:
        raise ConfigError(f'{journal.json} is of another training; choose another --out')
    for row in known.values():
        row['top1'] = row.get('top1') or {}
        if row['state'] == 'finished':
            row['markdown'] = described(row)
    return known


def _config(method: str, words: Sequence[str], folder: Path, smoke: bool) -> Config:
    return prepare_config(CONFIG, _parsed(words), demo=smoke, work_dir=folder, methods=[method])


def _command(name: str, method: str, folder: Path, words: Sequence[str], smoke: bool) -> str:
    start = ['a2sg-zoo', name, CONFIG, '--method', method, '--work-dir', str(folder), *(['--demo'] if smoke else [])]
    return shlex.join([*start, '--cfg-options', *words])


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """{key: value} of words KEY=VALUE, as the command line reads them."""
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    return parser.parse_args(['--cfg-options', *words]).cfg_options if words else {}


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
