"""One run of a suite, in a process of its own."""

import json
import os
import platform
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.benchmark.suites.results import write_result
from a2sg_zoo.engine.hooks.reproducibility import run_info
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.registry import HOOKS

_POINTS = 50
_IMAGES = 256


@dataclass
class Job:
    """What a process needs to know of a run: plain data.

    Attributes:
        folder: of the suite's results.
        work_dir: of the run.
        config: file of its config.
        result: what the result begins with: suite, network, dataset, method, seed, hash, code, data.
        threads: of the CPU, for this run.
        device: index of the CUDA device, or None.
    """

    folder: str
    work_dir: str
    config: str
    result: dict
    threads: int = 1
    device: int | None = None


@HOOKS.register_module()
class BenchmarkRecorder(Hook):
    """Keeps in memory what a result reports of a training: times, losses and scores."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.seconds, self.losses, self.scores = [], [], []
        self._mark = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._mark)
        self.losses.append([runner.iter + 1, float(outputs['loss'])])
        self._mark = time.perf_counter()

    def after_val_epoch(self, runner, metrics=None):
        self.scores.append([runner.iter, dict(metrics)])
        self._mark = time.perf_counter()


def execute(job):
    """Trains, measures, and writes the result; whatever it prints goes to log.txt in the run's folder."""
    work_dir = Path(job.work_dir)
    _redirect_output(work_dir / 'log.txt')
    torch.set_num_threads(job.threads)
    if job.device is not None:
        torch.cuda.set_device(job.device)
    start = time.time()
    before = _peak_memory()
    cfg = prepare_config(job.config, work_dir=work_dir)
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='BenchmarkRecorder')]
    # for whoever reads the config that the run leaves in its folder
    imports = cfg.get('custom_imports') or {}
    cfg.custom_imports = dict(imports, imports=[*imports.get('imports', []), __name__])
    runner = train(cfg)
    recorder = next(hook for hook in runner.hooks if isinstance(hook, BenchmarkRecorder))
    info = run_info(runner)
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak_memory() - before
    used = resource.getrusage(resource.RUSAGE_SELF)
    write_result(
        job.folder,
        dict(
            job.result,
            status='finished',
            reason='',
            config=job.config,
            started=time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(start)),
            versions={key: info[key] for key in ('a2sg_zoo', 'commit', 'python', 'torch', 'device')},
            machine=machine(),
            metrics=_metrics(recorder.scores),
            cost=dict(
                train_seconds=sum(recorder.seconds),
                seconds_per_step=statistics.median(recorder.seconds),
                cpu_seconds=used.ru_utime + used.ru_stime,
                peak_memory_bytes=peak,
                steps=len(recorder.seconds),
            ),
            activity=_activity(runner),
            curves=dict(
                loss=_thinned(recorder.losses),
                beta=_betas(work_dir / 'adaptation.jsonl'),
                metric=[[i, next(iter(scores.values()))] for i, scores in recorder.scores],
            ),
        ),
    )


def machine():
    """The machine in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'{os.cpu_count()} CPU cores'
    return f'{platform.system()} {platform.machine()}, {device}'


def _redirect_output(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _peak_memory():
    scale = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _metrics(scores):
    """The metrics of the last evaluation, and the best of the first of them, which may not be the last."""
    last = dict(scores[-1][1])
    first = next(iter(last))
    return {**last, f'best_{first}': max(metrics[first] for _, metrics in scores)}


def _activity(runner):
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    loader = runner.val_dataloader
    batches = islice(loader, -(-_IMAGES // loader.batch_size))
    model.eval()
    found = measure_energy(model, (model.data_preprocessor(batch)['inputs'] for batch in batches))
    del found['layers']
    return found


def _betas(path):
    """{layer: [[iteration, [beta of each time step]], ...]} of the log that the `AdaptationHook` wrote."""
    if not path.exists():
        return {}
    curves = {}
    for record in _thinned([json.loads(line) for line in path.read_text().splitlines()]):
        for layer, stats in record['layers'].items():
            curves.setdefault(layer, []).append([record['iter'], stats['beta']])
    return curves


def _thinned(points):
    step = -(-len(points) // _POINTS) or 1
    return points[::-step][::-1]  # the last one stays
