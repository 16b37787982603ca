"""The runs of `a2sg_zoo.benchmark.gpu.training`: what each trains, what an iteration costs, and how many fit a time."""

import argparse
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from a2sg_zoo.benchmark.speed.timing import wait
from a2sg_zoo.engine.arguments import add_options_argument
from a2sg_zoo.engine.build import build_runner, read_loader
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError

COUNTS, SPIKES = 'resnet9_gpu_counts_cifar10', 'resnet9_gpu_hybrid_cifar10'
"""Configs of the two halves of the recipe."""
TIME_STEPS = (1, 2, 4)
"""Numbers of time steps at which networks with spikes are tested."""
FIRST = 'counts'
"""Name of the run of `COUNTS`; the others have the names of their methods."""
# of the time that is left, what the plan uses: checkpoints and logs take the rest
_USED = 0.9


class Measured(NamedTuple):
    """What a short run costs, in seconds.

    Attributes:
        step: seconds of an iteration, the search of a policy among them.
        image: seconds for an image of an evaluation.
        setup: seconds from the start of a run to its first iteration, without the reading of the data.
    """

    step: float
    image: float
    setup: float


class Run(NamedTuple):
    """One training of a report.

    Attributes:
        words: KEY=VALUE of the config.
        smoke: whether it learns embedded digits.
        method: name of the method, None for the training with counts.
    """

    words: tuple[str, ...]
    smoke: bool
    method: str | None = None

    @property
    def name(self) -> str:
        """What the run, its row and its folder are called."""
        return self.method or FIRST

    @property
    def config(self) -> str:
        """Name of the config."""
        return SPIKES if self.method else COUNTS

    @property
    def time_steps(self) -> tuple[int, ...]:
        """Numbers of time steps at which it is tested."""
        return TIME_STEPS if self.method else TIME_STEPS[:1]

    def cfg(self, folder: Path, *words: str) -> Config:
        """Return its config; folder: where it is trained; words: further KEY=VALUE."""
        options, methods = parsed([*self.words, *words]), [self.method] if self.method else []
        return prepare_config(self.config, options, demo=self.smoke, work_dir=folder, methods=methods)

    def command(self, folder: Path, words: Sequence[str]) -> str:
        """Return the command line that trains it in a folder with further words."""
        method, demo = ['--method', self.method] if self.method else [], ['--demo'] if self.smoke else []
        start = ['a2sg-zoo', 'train', self.config, *method, '--work-dir', str(folder), *demo]
        return shlex.join([*start, '--cfg-options', *self.words, *words])


def measure(run: Run, device: torch.device) -> Measured:
    """Train a few iterations on a part of the images, and time them.

    The last half of the iterations counts: the first half compiles kernels. Its length is the interval of the searches,
    so it holds one. Of two evaluations the second counts.

    Args:
        run: what is trained.
        device: device of the run.
    """
    total, part = (4, 10) if run.smoke else (40, 100)
    parts = [f'{name}_dataloader.dataset.per_class=(0,{part})' for name in ('train', 'val')]
    unsaved = [f'default_hooks.checkpoint.{word}' for word in ('interval=-1', 'save_last=False', 'save_best=None')]
    words = [*parts, *plan_words(run.config, total, total // 2), *unsaved]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):  # the first one imports modules and starts the device, which happens once
            start = time.monotonic()
            runner = build_runner(run.cfg(Path(folder), *words))
            read_loader(runner, 'train_dataloader')
        clock = _Clock(device)
        runner.register_hook(clock)
        runner.train()
        images = len(runner.val_dataloader.dataset)
        return Measured(fmean(clock.steps[-total // 2 :]), clock.evaluation / images, clock.began - start)


class _Clock(Hook):
    """Times of iterations and of the evaluation, once the device has done its work."""

    priority = 'VERY_LOW'

    def __init__(self, device: torch.device) -> None:
        self.device, self.steps = device, list[float]()
        self.began = self.evaluation = 0.0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Notes the first iteration."""
        self.began = self.began or self._now()
        if not self.steps:
            self._last = self.began

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Notes the time since the iteration before: of the data, the step and the hooks."""
        now = self._now()
        self.steps.append(now - self._last)
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


def affordable(run: Run, found: Measured, seconds: float, sizes: Sequence[int], reading: float) -> int:
    """Return the number of iterations that fit into seconds, with the evaluations of the run and the test after it.

    Args:
        run: what is trained.
        found: what a short run costs.
        seconds: time for all of it.
        sizes: numbers of training and test images.
        reading: seconds to read all of them.

    Raises:
        ConfigError: there is no time for an iteration between two evaluations.

    >>> run = Run((), smoke=False)
    >>> affordable(run, Measured(0.01, 0.0, 0.0), 10.0, (50000, 10000), 0.0)
    900
    """
    cfg = load_config(run.config).train_cfg
    evaluations = cfg.max_iters // cfg.val_interval
    test = found.setup + reading * sizes[1] / max(sum(sizes), 1)
    fixed = found.setup + reading + test + (evaluations + 1) * found.image * sizes[1]
    number = int((_USED * seconds - fixed) / found.step) if seconds > 0 else 0
    if number < evaluations:
        raise ConfigError(
            f'--minutes: the time is too short for a training: {seconds:.0f} s are left for {run.name}, of which '
            f'{fixed:.0f} s go to reading, compiling and evaluating; pass more minutes or fewer --methods'
        )
    return number - number % evaluations


def plan_words(config: str, iterations: int, val_interval: int | None = None) -> list[str]:
    """Return the words for `--cfg-options` that stretch the schedule of a config to a number of iterations.

    Args:
        config: `COUNTS` or `SPIKES`.
        iterations: of the training.
        val_interval: iterations between two evaluations, by default the config's share.

    >>> plan_words(COUNTS, 600)[:2]
    ['train_cfg.max_iters=600', 'train_cfg.val_interval=100']
    """
    cfg = load_config(config)

    def share(interval: int) -> int:
        return max(1, iterations * interval // cfg.train_cfg.max_iters)

    warmup = share(cfg.param_scheduler[0].end)
    return [
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={val_interval or share(cfg.train_cfg.val_interval)}',
        f'default_hooks.checkpoint.interval={share(cfg.default_hooks.checkpoint.interval)}',
        f'param_scheduler.0.end={warmup}',
        f'param_scheduler.1.begin={warmup}',
    ]


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """Return {key: value} of words KEY=VALUE, as the command line reads them."""
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    return parser.parse_args(['--cfg-options', *words]).cfg_options if words else {}
