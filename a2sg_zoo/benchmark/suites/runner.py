"""From a suite to results: what is there already stays, the rest is run."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from a2sg_zoo.benchmark.suites.job import Job, execute, machine
from a2sg_zoo.benchmark.suites.launchers import LAUNCHERS
from a2sg_zoo.benchmark.suites.results import read_result, result_path, write_result
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically

_TAIL = 20


@dataclass
class State:
    """What stands in the folder of results, for the runs of a plan.

    Attributes:
        done: runs whose result is there.
        to_do: runs without one, or with one that is not theirs.
        reasons: {name: why a result that is there does not count}.
    """

    done: list
    to_do: list
    reasons: dict


def survey(runs, folder):
    """The `State` of a folder: a result counts if it is sound, finished, and of the same config, code and data."""
    state = State([], [], {})
    for run in runs:
        path, reason = result_path(folder, run.name), None
        if path.exists():
            try:
                result = read_result(path)
            except ValueError as error:
                reason = str(error)
            else:
                if run.is_done(result):
                    state.done.append(run)
                    continue
                reason = (
                    'it failed'
                    if result['status'] != 'finished'
                    else ', '.join(
                        f'the {key} changed'
                        for key, name in (('config', 'hash'), ('code', 'code'), ('data', 'data'))
                        if result[name] != getattr(run, name)
                    )
                )
        state.to_do.append(run)
        if reason:
            state.reasons[run.name] = reason
    return state


def run_suite(suite, runs, folder, command, launcher='local', report=print, **options):
    """Runs what is left of a suite; every run ends as a result, finished or failed.

    Args:
        suite: a `Suite`.
        runs: its plan.
        folder: of the results; held by one process at a time.
        command: the command line, for the record.
        launcher: 'local', 'ray' or 'slurm'.
        report: called with (run, result) as each run ends.
        **options: of the launcher.

    Raises:
        ConfigError: another process is at work on the folder.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / '.lock')
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f'another benchmark is at work in {folder}; wait for its end, or name another folder with --out'
        ) from error
    with lock:
        _write_plan(suite, folder, command)
        by_name = {run.name: run for run in survey(runs, folder).to_do}
        jobs = [_prepare(suite, run, folder) for run in by_name.values()]
        for job, reason in LAUNCHERS[launcher](jobs, execute, timeout=suite.timeout, **options):
            run = by_name[Path(job.work_dir).name]
            report(run, _outcome(run, job, reason))


def _write_plan(suite, folder, command):
    plan = dict(
        name=suite.name,
        command=command,
        machine=machine(),
        reference=suite.reference,
        metric=suite.metric,
        networks=list(suite.networks),
        datasets=list(suite.datasets),
        methods=list(suite.methods),
        seeds=suite.seeds,
        published=suite.published,
    )
    write_atomically((json.dumps(plan, indent=1) + '\n').encode(), folder / 'suite.json')


def _prepare(suite, run, folder):
    work_dir = folder / 'work' / run.name
    shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True)
    # not in the run's folder, where MMEngine writes what it made of it under the same name
    config = folder / 'configs' / f'{run.name}.py'
    write_atomically(run.config.pretty_text.encode(), config)
    return Job(
        str(folder),
        str(work_dir),
        str(config),
        dict(
            suite=suite.name,
            network=run.network,
            dataset=run.dataset,
            method=run.method,
            seed=run.seed,
            hash=run.hash,
            code=run.code,
            data=run.data,
        ),
    )


def _outcome(run, job, reason):
    """The result of a run that has ended; that of a failed one is written here."""
    if not reason:
        try:
            result = read_result(result_path(job.folder, run.name))
            if run.is_done(result):
                return result
            reason = 'it ended without a result'
        except (OSError, ValueError) as error:
            reason = f'it ended without a result ({error})'
    log = Path(job.work_dir, 'log.txt')
    tail = log.read_text(errors='replace').splitlines()[-_TAIL:] if log.exists() else []
    failed = dict(
        job.result,
        status='failed',
        reason=reason,
        log=tail,
        config=job.config,
        started=time.strftime('%Y-%m-%dT%H:%M:%S'),
        metrics={},
        cost={},
        activity=None,
        curves=dict(loss=[], metric=[], beta={}),
    )
    write_result(job.folder, failed)
    return read_result(result_path(job.folder, run.name))
