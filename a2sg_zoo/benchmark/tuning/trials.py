"""Trials of a search: each trains a network in a process of its own, and its last validation gives the score."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo.benchmark.suites.checks import SEARCH_KEYS, check_metric, is_finite
from a2sg_zoo.benchmark.suites.job import Job, execute
from a2sg_zoo.benchmark.suites.launchers import local
from a2sg_zoo.benchmark.suites.plan import identify
from a2sg_zoo.benchmark.suites.results import read_result, result_path, run_name
from a2sg_zoo.benchmark.suites.runner import locked
from a2sg_zoo.benchmark.tuning.search import Search, Trial
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.files import write_atomically


def tune(
    compose: Callable[[dict[str, Any]], Config],
    description: Mapping[str, Any],
    folder: str | os.PathLike,
    trials: int,
    workers: int = 1,
    seed: int = 0,
    timeout: float = 3600,
    report: Callable[[Trial], None] = print,
) -> Trial:
    """Run a search until it has a number of trials, with those of earlier calls; failed trials count.

    Args:
        compose: function {dotted key: value} -> config of a trial with these overrides.
        description: space, metric, mode and options, see `a2sg_zoo.benchmark.tuning.search`.
        folder: folder of the trials. Only one process at a time may work in it.
        trials: number of trials in all.
        workers: trials at a time.
        seed: seed of the suggestions and of each training.
        timeout: seconds after which a trial counts as hung and is killed.
        report: called with each trial as it finishes.

    Returns:
        The best of the first `trials` trials.

    Raises:
        ConfigError: the description has a mistake, the folder holds the trials of another search, or another process
            works in it.
        DataError: no trial has a score, or the record of trials was edited.
    """
    unknown = description.keys() - set(SEARCH_KEYS)
    if unknown:
        raise ConfigError(f'search: unknown key {", ".join(sorted(unknown))}; it has {", ".join(SEARCH_KEYS)}')
    metric, options = description.get('metric', 'top1'), description.get('options', {})
    base = compose(dict(options))
    check_metric(metric, base.get('val_evaluator'), 'search.metric', 'a trial')
    with locked(folder, 'search') as folder:
        mode = description.get('mode', 'max')
        search = Search(description.get('space'), folder / 'trials.jsonl', mode, seed)
        identity = dict(metric=metric, mode=mode, seed=seed, **identify(base), space=search.description)
        _check_same(folder, bool(search.finished), identity)
        while len(search.finished) < trials:
            asked = search.ask(min(workers, trials - len(search.finished)))
            jobs = {number: _job(compose({**options, **values}), number, seed, folder) for number, values in asked}
            # an interrupted call may have finished some of them
            left = [job for job in jobs.values() if not _is_finished(job)]
            for job in left:
                shutil.rmtree(job.work_dir, ignore_errors=True)
            reasons = {job.result['dataset']: reason for job, reason in local(left, execute, workers, timeout)}
            for number, values in asked:
                score, note = _score(folder, jobs[number], metric, reasons.get(jobs[number].result['dataset'], ''))
                search.tell(number, values, score, note)
                report(search.finished[-1])
        return search.best(trials)


def _check_same(folder: Path, has_trials: bool, identity: dict[str, Any]) -> None:
    """Note what all trials of a folder have in common, or raises ConfigError if they had something else."""
    path, identity = folder / 'search.json', json.loads(json.dumps(identity))
    if has_trials and path.exists():
        try:
            # older versions did not note the space; their searches go on
            noted = dict(space=identity['space']) | json.loads(path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f'{path} is damaged ({error}); name another folder with --out') from error
        names = dict(hash='the config', data='the data', version='the version of results')
        changed = [names.get(key, key) for key, value in identity.items() if noted.get(key) != value]
        if changed:
            raise ConfigError(
                f'{folder} holds trials of another search: {", ".join(changed)} changed; name another folder with --out'
            )
    write_atomically((json.dumps(identity, indent=1) + '\n').encode(), path)


def _job(cfg: Config, number: int, seed: int, folder: Path) -> Job:
    cfg.setdefault('randomness', {})['seed'] = seed
    names: dict[str, Any] = dict(network='trial', dataset=f'{number:04d}', method='search', seed=seed)
    work_dir = folder / 'work' / run_name(**names)
    config = folder / 'configs' / f'{work_dir.name}.py'
    write_atomically(cfg.pretty_text.encode(), config)
    return Job(str(folder), str(work_dir), str(config), dict(suite='search', **names, **identify(cfg)))


def _is_finished(job: Job) -> bool:
    """Whether there is a result of this very trial."""
    try:
        result = read_result(result_path(job.folder, Path(job.work_dir).name))
    except DataError:
        return False
    return result['status'] == 'finished' and all(result.get(key) == value for key, value in job.result.items())


def _score(folder: Path, job: Job, metric: str, reason: str) -> tuple[float | None, str]:
    """The score of a trial and '', or None and why it has none."""
    if reason:
        return None, reason
    try:
        metrics = read_result(result_path(folder, Path(job.work_dir).name))['metrics']
    except DataError as error:
        return None, str(error)
    if metric not in metrics:
        raise ConfigError(f'search.metric: no trial has {metric!r}; there are {", ".join(metrics)}')
    score = metrics[metric]
    return (score, '') if is_finite(score) else (None, f'{metric} is not finite')
