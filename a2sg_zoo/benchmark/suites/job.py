"""One run of a suite: the training, and what is measured of it, in a process of its own."""

import json
import logging
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from a2sg_zoo.adaptation import AdaptivePolicy
from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.benchmark.suites.results import write_result
from a2sg_zoo.engine.hooks.adaptation import AdaptationHook
from a2sg_zoo.engine.hooks.reproducibility import run_info
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model

# points of a curve that a result keeps
_POINTS = 50
# validation images that firing rates, operations and energy are measured on
_IMAGES = 256
# widths are kept in float32
_ROUNDING = 1e-5


@dataclass
class Job:
    """What a process must know of a run. All of it is plain data.

    Attributes:
        folder: folder of the suite's results.
        work_dir: folder of the run.
        config: file of its config.
        result: first keys of its result: suite, network, dataset, method, seed, hash, version, data.
        threads: CPU threads of this run.
        device: index of its CUDA device, or None for the CPU.
    """

    folder: str
    work_dir: str
    config: str
    result: dict[str, Any]
    threads: int = 1
    device: int | None = None


@HOOKS.register_module()
class BenchmarkRecorder(Hook):
    """Keeps what a result reports of a training: seconds of each step, losses, and scores.

    Attributes:
        seconds: seconds of each training step.
        losses: [iteration, loss] of each training step.
        scores: [iteration, {metric: value}] of each validation.
    """

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Begin the record."""
        self.seconds, self.losses, self.scores = [], [], []
        self._start = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Record the step that ended."""
        self.seconds.append(time.perf_counter() - self._start)
        self.losses.append([runner.iter + 1, outputs['loss'].item()])
        self._start = time.perf_counter()

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Record the scores of a validation."""
        self.scores.append([runner.iter, dict(metrics)])
        self._start = time.perf_counter()


def execute(job: Job) -> None:
    """Train the network of a job, measure it, and write the result.

    Everything that is printed meanwhile goes to log.txt in the run's folder.
    """
    work_dir = Path(job.work_dir)
    _redirect_output(work_dir / 'log.txt')
    torch.set_num_threads(job.threads)
    if job.device is not None:
        torch.cuda.set_device(job.device)
    start = time.time()
    before = _peak_memory()
    cfg = prepare_config(job.config, work_dir=work_dir)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), dict(type='BenchmarkRecorder')]
    # lets other programs read the config that the run leaves in its folder
    imports = cfg.get('custom_imports') or {}
    cfg.custom_imports = dict(imports, imports=[*imports.get('imports', []), __name__])
    runner = train(cfg)
    recorder = next(hook for hook in runner.hooks if isinstance(hook, BenchmarkRecorder))
    info = run_info(runner)
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak_memory() - before
    used = resource.getrusage(resource.RUSAGE_SELF)
    log = _read_log(work_dir / 'adaptation.jsonl')
    write_result(
        job.folder,
        dict(
            job.result,
            status='finished',
            reason='',
            config=os.path.relpath(job.config, job.folder),
            started=time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(start)),
            versions={key: info[key] for key in ('a2sg_zoo', 'commit', 'python', 'torch', 'device')},
            machine=machine(),
            metrics=_metrics(recorder.scores, ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('rule')),
            cost=dict(
                train_seconds=sum(recorder.seconds),
                seconds_per_step=statistics.median(recorder.seconds),
                cpu_seconds=used.ru_utime + used.ru_stime,
                peak_memory_bytes=peak,
                steps=len(recorder.seconds),
            ),
            activity=_activity(runner),
            **_search(runner, log),
            curves=dict(
                loss=_thinned(recorder.losses),
                beta=_betas(log),
                metric=[[i, next(iter(scores.values()))] for i, scores in recorder.scores],
            ),
        ),
    )


def search_summary(
    policy: AdaptivePolicy, thresholds: Mapping[str, float], log: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Summarize where the widths of a search policy ended, and how often its searches ended on a bound.

    Args:
        policy: the policy.
        thresholds: {layer: v_threshold}.
        log: records of the `AdaptationHook`.

    Returns:
        `low` and `high`: share of all layers and time steps with a width on the lower or the upper end of the search
        space, at the last record; `mean`: their mean width, in units of v_threshold; `spatial_on_bound` and
        `temporal_on_bound`: share of the searches of the whole training that ended on a bound, None without such a
        search. Without a record, the dictionary is empty.
    """
    layers = log[-1]['layers'] if log else {}
    widths = [beta / thresholds[name] for name, stats in layers.items() for beta in stats['beta'] or () if beta]
    if not widths:
        return {}
    low, high = float(policy.grid[0]), float(policy.grid[-1])
    found: dict[str, float | None] = dict(
        low=statistics.fmean(math.isclose(width, low, rel_tol=_ROUNDING) for width in widths),
        high=statistics.fmean(math.isclose(width, high, rel_tol=_ROUNDING) for width in widths),
        mean=statistics.fmean(widths),
    )
    for kind in ('spatial', 'temporal'):
        # records are about equally far apart, so their shares are of about as many searches
        shares = [x for record in log if (x := record['on_bound'][kind]) is not None]
        found[f'{kind}_on_bound'] = statistics.fmean(shares) if shares else None
    return found


def machine() -> str:
    """Return a line that describes this machine: its system, and its GPU or number of CPU cores."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'{os.cpu_count()} CPU cores'
    return f'{platform.system()} {platform.machine()}, {device}'


def _redirect_output(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _peak_memory() -> int:
    scale = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _metrics(scores: list, rule: str | None = None) -> dict[str, float]:
    """The metrics of the last validation, and the best value of the first metric over all validations.

    `rule` is that of the checkpoints: 'less' where the smallest value is the best.
    """
    last = dict(scores[-1][1])
    first = next(iter(last))
    finite = [metrics[first] for _, metrics in scores if math.isfinite(metrics[first])]
    return {**last, f'best_{first}': (min if rule == 'less' else max)(finite, default=math.nan)}


def _activity(runner: Runner) -> dict[str, Any] | None:
    """Firing rate, operations and energy; None for a network whose operations cannot be counted."""
    model = unwrap_model(runner.model)
    loader = runner.val_dataloader
    batches = islice(loader, -(-_IMAGES // loader.batch_size))
    model.eval()
    try:
        found = measure_energy(model, (model.data_preprocessor(batch)['inputs'] for batch in batches))
    except ConfigError as error:  # the training counts all the same
        print_log(f'no operations are counted: {error}', logger='current', level=logging.WARNING)
        return None
    del found['layers']
    return found


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The records that the `AdaptationHook` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _betas(log: list[dict[str, Any]]) -> dict[str, list]:
    """{layer: [[iteration, [width of each time step]], ...]} of a log."""
    curves: dict[str, list] = {}
    for record in _thinned(log):
        for layer, stats in record['layers'].items():
            curves.setdefault(layer, []).append([record['iter'], stats['beta']])
    return curves


def _search(runner: Runner, log: list[dict[str, Any]]) -> dict[str, Any]:
    """{'search': summary} if the run has a search policy and a log, else nothing."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, AdaptationHook)), None)
    if hook is None or not isinstance(hook.policy, AdaptivePolicy):
        return {}
    summary = search_summary(hook.policy, {name: neuron.v_threshold for name, neuron in hook.neurons.items()}, log)
    return dict(search=summary) if summary else {}


def _thinned(points: list) -> list:
    step = -(-len(points) // _POINTS) or 1
    return points[::-step][::-1]  # keeps the last point
