"""Runs a suite: finished runs stay, and the rest is run."""

import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from a2sg_zoo.benchmark.suites.job import Job, execute, machine
from a2sg_zoo.benchmark.suites.launchers import LAUNCHERS
from a2sg_zoo.benchmark.suites.plan import Run
from a2sg_zoo.benchmark.suites.results import read_result, result_path, write_result
from a2sg_zoo.benchmark.suites.suite import Suite
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.files import check_output_folder, write_atomically

# lines of a failed run's log that its result keeps
_TAIL = 20


@dataclass
class State:
    """What a folder of results has of a plan.

    Attributes:
        done: runs with a finished result.
        to_do: runs without one, or with one that is not theirs.
        reasons: {name of a run: why the result that is there does not count}.
    """

    done: list[Run]
    to_do: list[Run]
    reasons: dict[str, str]


def survey(runs: Sequence[Run], folder: str | os.PathLike) -> State:
    """Look up which runs of a plan are finished.

    A result counts if it is sound and finished, and if its config, its version and its data are those of the run.

    Args:
        runs: from `plan`.
        folder: folder of the suite's results; it need not exist.
    """
    state = State([], [], {})
    for run in runs:
        path = result_path(folder, run.name)
        reason = _why_not(run, path) if path.exists() else ''
        if reason is None:
            state.done.append(run)
        else:
            state.to_do.append(run)
            if reason:
                state.reasons[run.name] = reason
    return state


def _why_not(run: Run, path: Path) -> str | None:
    """Why the result at `path` is not that of a run; None if it is."""
    try:
        result = read_result(path)
    except DataError as error:
        return str(error)
    if result['status'] != 'finished':
        return 'it failed'
    changes = run.changes(result)
    return ', '.join(f'the {change} changed' for change in changes) if changes else None


def run_suite(
    suite: Suite,
    runs: Sequence[Run],
    folder: str | os.PathLike,
    command: str,
    launcher: str = 'local',
    report: Callable[[Run, dict[str, Any]], None] = print,
    planned: Sequence[Run] | None = None,
    options: Mapping[str, Any] = {},
) -> None:
    """Run what is left of a suite. Every run ends as a result that is finished or failed.

    Args:
        suite: from `read_suite`.
        runs: the runs to do, all or some of its plan.
        folder: folder of the results. Only one process at a time may work in it.
        command: command line, for the record.
        launcher: 'local', 'ray' or 'slurm'.
        report: called with the run and its result whenever a run ends.
        planned: the whole plan, for the report; by default `runs`.
        options: options of the launcher, {name: value}.

    Raises:
        ConfigError: `folder` is a file, cannot be written, or another process works in it; or the launcher has no such
            option, or no such value of it.
    """
    _check_options(launcher, options)
    with locked(folder, 'benchmark') as folder:
        _write_plan(suite, planned or runs, folder, command)
        by_name = {run.name: run for run in survey(runs, folder).to_do}
        jobs = [_prepare(suite, run, folder) for run in by_name.values()]
        for job, reason in LAUNCHERS[launcher](jobs, execute, timeout=suite.timeout, **options):
            run = by_name[Path(job.work_dir).name]
            report(run, _outcome(run, job, reason))


def _check_options(launcher, options):
    # what this module and the suite decide; submitit checks the rest of its own
    decided = {'jobs': '', 'execute': '', 'timeout': ": the suite's timeout", 'timeout_min': ": the suite's timeout"}
    unknown = set() if launcher == 'slurm' else options.keys() - inspect.signature(LAUNCHERS[launcher]).parameters
    for name in sorted(unknown | options.keys() & decided):
        raise ConfigError(f'the launcher {launcher} has no option {name}{decided.get(name, "")}')
    workers = options.get('workers', 1)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f'the option workers of a launcher must be an integer of at least 1, got {workers!r}')


@contextmanager
def locked(folder: str | os.PathLike, tool: str) -> Iterator[Path]:
    """Make a folder of results and lock it. The lock ends with the process that holds it.

    Args:
        folder: folder of results.
        tool: name of the tool that works in it, for messages.

    Yields:
        The absolute path of the folder.

    Raises:
        ConfigError: `folder` is a file, cannot be written, or is locked by another process.
    """
    folder = check_output_folder(folder, tool).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / '.lock').acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f'another {tool} works in {folder}; wait until it ends, or name another folder with --out'
        ) from error
    except OSError as error:
        raise ConfigError(f'{folder} cannot be written ({error.strerror}); name another folder with --out') from error
    with lock:
        yield folder


def _write_plan(suite: Suite, runs: Sequence[Run], folder: Path, command: str) -> None:
    plan = dict(
        name=suite.name,
        command=command,
        machine=machine(),
        reference=suite.reference,
        metric=suite.metric,
        networks=list(suite.networks),
        datasets=list(suite.datasets),
        methods=list(suite.methods),
        seeds=list(suite.seeds),
        published=suite.published,
        runs={run.name: run.identity for run in runs},
    )
    write_atomically((json.dumps(plan, indent=1) + '\n').encode(), folder / 'suite.json')


def _prepare(suite: Suite, run: Run, folder: Path) -> Job:
    work_dir = folder / 'work' / run.name
    shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True)
    # not in the run's folder, where MMEngine writes the completed config under the same name
    config = folder / 'configs' / f'{run.name}.py'
    write_atomically(run.config.pretty_text.encode(), config)
    first_keys = dict(
        suite=suite.name, network=run.network, dataset=run.dataset, method=run.method, seed=run.seed, **run.identity
    )
    return Job(str(folder), str(work_dir), str(config), first_keys)


def _outcome(run: Run, job: Job, reason: str) -> dict[str, Any]:
    """The result of a run that has ended. That of a failed run is written here."""
    if not reason:
        try:
            result = read_result(result_path(job.folder, run.name))
            if run.is_done(result):
                return result
            reason = 'it ended without a result'
        except DataError as error:
            reason = f'it ended without a result ({error})'
    log = Path(job.work_dir, 'log.txt')
    tail = log.read_text(errors='replace').splitlines()[-_TAIL:] if log.exists() else []
    failed = dict(
        job.result,
        status='failed',
        reason=reason,
        log=tail,
        config=os.path.relpath(job.config, job.folder),
        started=time.strftime('%Y-%m-%dT%H:%M:%S'),
        metrics={},
        cost={},
        activity=None,
        curves=dict(loss=[], metric=[], beta={}),
    )
    write_result(job.folder, failed)
    return read_result(result_path(job.folder, run.name))
