"""Trials of a search as runs: each is trained in a process of its own and scored by its last evaluation."""

import shutil
from pathlib import Path

from a2sg_zoo.benchmark.suites.job import Job, execute
from a2sg_zoo.benchmark.suites.launchers import local
from a2sg_zoo.benchmark.suites.results import read_result, result_path, run_name
from a2sg_zoo.benchmark.tuning.search import Search
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically

_KEYS = {'space', 'metric', 'mode', 'options'}


def tune(compose, description, folder, trials, workers=1, seed=0, timeout=3600, report=print):
    """Runs a search until it has `trials` trials, those of an earlier call included; returns the best.

    Args:
        compose: gives the config of a trial for its overrides {dotted key: value}.
        description: dict(space=, metric=, mode=, options=), see `a2sg_zoo.benchmark.tuning.search`.
        folder: of the trials.
        workers: trials at a time.
        seed: of the suggestions and of each training.
        report: called with each finished trial.

    Raises:
        ConfigError: the description has a mistake.
    """
    unknown = description.keys() - _KEYS
    if unknown:
        raise ConfigError(f'search: unknown key {", ".join(sorted(unknown))}; it has {", ".join(sorted(_KEYS))}')
    metric, options = description.get('metric', 'top1'), description.get('options', {})
    folder = Path(folder).absolute()
    search = Search(description.get('space'), folder / 'trials.jsonl', description.get('mode', 'max'), seed)
    while len(search.finished) < trials:
        asked = search.ask(min(workers, trials - len(search.finished)))
        jobs = {}
        for number, values in asked:
            cfg = compose({**options, **values})
            cfg.setdefault('randomness', {})['seed'] = seed
            identity = dict(network='trial', dataset=f'{number:04d}', method='search', seed=seed)
            work_dir = folder / 'work' / run_name(**identity)
            shutil.rmtree(work_dir, ignore_errors=True)  # of a trial that was interrupted
            config = folder / 'configs' / f'{work_dir.name}.py'
            write_atomically(cfg.pretty_text.encode(), config)
            jobs[number] = Job(
                str(folder), str(work_dir), str(config), dict(suite='search', hash='', code='', data='', **identity)
            )
        reasons = {
            job.result['dataset']: reason for job, reason in local(list(jobs.values()), execute, workers, timeout)
        }
        for number, values in asked:
            score, note = _score(folder, jobs[number], metric, reasons[f'{number:04d}'])
            search.tell(number, values, score, note)
            report(search.finished[-1])
    return search.best()


def _score(folder, job, metric, reason):
    """(score, '') of a trial, or (None, why there is none)."""
    if reason:
        return None, reason
    metrics = read_result(result_path(folder, Path(job.work_dir).name))['metrics']
    if metric not in metrics:
        raise ConfigError(f'search.metric: no trial has {metric!r}; there are {", ".join(metrics)}')
    return metrics[metric], ''
