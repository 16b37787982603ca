"""Measured runs in groups that can be compared, means over the runs of a method, and rank correlations."""

import math
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from a2sg_zoo.analysis.compare.measurements import SECTIONS, measure_run, measure_training
from a2sg_zoo.analysis.runs import RunFolder
from a2sg_zoo.errors import A2SGError, ConfigError

# with fewer runs, two unrelated quantities have |rho| > 0.75 in more than one of 20 cases
LEAST_RUNS = 8


@dataclass(frozen=True)
class Entry:
    """A run and its measurements.

    Attributes:
        run: the run.
        sections: {name of a section: its data}, see `measure_run`.
        parameters: number of parameters of the network.
        not_measured: {name of a section: reason why it is not in `sections`}.
    """

    run: RunFolder
    sections: dict[str, dict]
    parameters: int
    not_measured: dict[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float | None]:
        """{measure: number, or None if it is undefined}, of all sections together."""
        return {key: value for data in self.sections.values() for key, value in data['values'].items()}

    @property
    def undefined(self) -> dict[str, str]:
        """{measure: reason why it is undefined}."""
        return {key: why for data in self.sections.values() for key, why in data.get('undefined', {}).items()}

    @property
    def notes(self) -> list[str]:
        """Remarks of all sections, such as the names of silent layers, and why sections were not measured."""
        missing = [f'{name}: not measured: {why}' for name, why in self.not_measured.items()]
        return missing + [note for data in self.sections.values() for note in data.get('notes', [])]


@dataclass(frozen=True)
class Group:
    """Runs that can be compared: the same network, measured on the same samples.

    Attributes:
        title: 'NETWORK on DATA'.
        entries: the measured runs.
    """

    title: str
    entries: list[Entry]

    @property
    def methods(self) -> dict[str, list[Entry]]:
        """{method: its entries}, in order of appearance."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.run.method, []).append(entry)
        return found


@dataclass(frozen=True)
class Cell:
    """A measure over the runs of a method, as a cell of a table shows it.

    Attributes:
        mean: mean over the runs that have a value; None if none has.
        std: sample standard deviation (with n - 1); None for n < 2.
        n: number of runs that have a value.
        of: number of runs.
        why: reason why the others have no value.
    """

    mean: float | None
    std: float | None
    n: int
    of: int
    why: str

    def __str__(self) -> str:
        if self.mean is None:
            return f'undefined: {self.why}'
        digits = _number_format(self.mean)
        spread = f' ± {self.std:{digits}}' if self.std is not None else ''
        return f'{self.mean:{digits}}{spread}' + (f' ({self.n} of {self.of} runs)' if self.n < self.of else '')


def _number_format(x):
    """The format that shows four significant digits of x; its standard deviation gets as many decimals."""
    if x and math.isfinite(x) and not 1e-3 <= abs(x) < 1e9:
        return '.3e'
    return f',.{max(0, 3 - math.floor(math.log10(abs(x)))) if x else 0}f'


def cell_of(entries: Sequence[Entry], measure: str) -> Cell:
    """Compute mean and standard deviation of a measure over some entries."""
    values = [entry.values.get(measure) for entry in entries]
    found = [value for value in values if value is not None]
    reasons = [entry.undefined.get(measure, 'not measured') for entry, value in zip(entries, values) if value is None]
    return Cell(
        statistics.fmean(found) if found else None,
        statistics.stdev(found) if len(found) > 1 else None,
        len(found),
        len(values),
        '; '.join(dict.fromkeys(reasons)),
    )


def spearman(group: Group, measure: str, against: str = 'test_error') -> dict[str, Any]:
    """Compute Spearman's rank correlation of two measures over the runs of a group.

    Args:
        group: the runs.
        measure: one measure.
        against: the other measure.

    Returns:
        dict(rho, p, n, why). rho and p (two-sided) are None if they are undefined, and `why` gives the reason. If n is
        below `LEAST_RUNS`, `why` warns that the number says little.
    """
    every = [(entry.values.get(measure), entry.values.get(against)) for entry in group.entries]
    pairs = [(a, b) for a, b in every if a is not None and b is not None]
    if len(pairs) < 3:
        return dict(rho=None, p=None, n=len(pairs), why=f'only {len(pairs)} runs have both measures')
    if any(len(set(column)) < 2 for column in zip(*pairs)):
        return dict(rho=None, p=None, n=len(pairs), why='all runs have the same value')
    found = stats.spearmanr(*zip(*pairs))
    few = f'{len(pairs)} runs are too few for a conclusion' if len(pairs) < LEAST_RUNS else ''
    return dict(rho=float(found.statistic), p=float(found.pvalue), n=len(pairs), why=few)


def compare(
    runs: Sequence[RunFolder],
    what: Sequence[str],
    folder: str | Path,
    settings: Mapping[str, Any] | None = None,
    workers: int = 1,
    report: Callable[[RunFolder, str | None], object] | None = None,
) -> tuple[list[Group], dict[Path, str]]:
    """Measure every run, and group the runs that can be compared.

    Args:
        runs: from `read_runs`.
        what: names of `measurements.SECTIONS`.
        folder: results of single runs are kept in `folder`/runs and are not measured again.
        settings: overrides of `measurements.SETTINGS`.
        workers: number of processes that measure runs at the same time.
        report: called as report(run, error or None) after each run.

    Returns:
        (groups, {path of a run: why it could not be measured}).

    Raises:
        ConfigError: `what` has an unknown name.
        A2SGError: a process died.
    """
    unknown = [name for name in what if name not in SECTIONS]
    if unknown:
        raise ConfigError(f'--what: unknown {", ".join(unknown)}; the choices are {", ".join(SECTIONS)}')
    found, failed = {}, {}
    for run, result in _measure_all(runs, what, Path(folder) / 'runs', settings, workers):
        if isinstance(result, str):
            failed[run.path] = result
        else:
            found[run.path] = result
        if report:
            report(run, failed.get(run.path))
    groups: dict[tuple, list[Entry]] = {}
    for run in runs:
        if run.path in found:
            result = found[run.path]
            sections = {**result['sections'], 'training': measure_training(run)}
            entry = Entry(run, sections, result['parameters'], result['not_measured'])
            groups.setdefault((run.title, result['samples'], entry.parameters), []).append(entry)
    titles = [title for title, _, _ in groups]
    return [
        Group(
            title if titles.count(title) == 1 else f'{title} ({parameters:,} parameters, samples {samples[:6]})',
            entries,
        )
        for (title, samples, parameters), entries in groups.items()
    ], failed


def _measure_all(runs, what, folder, settings, workers) -> Iterator[tuple[RunFolder, dict | str]]:
    """(run, result or error message) of each run, in any order."""
    if workers <= 1 or len(runs) <= 1:
        for run in runs:
            yield run, _measure_or_message(run, what, folder, settings)
        return
    threads = max(1, torch.get_num_threads() // workers)
    # a fork after work with threads can hang, so processes are spawned
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), torch.set_num_threads, (threads,))
    try:
        jobs = {pool.submit(_measure_or_message, run, what, folder, settings): run for run in runs}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    except BrokenProcessPool as error:
        raise A2SGError(
            'a process that measured a run died, perhaps because memory ran out. Finished measurements are kept; run '
            'the same command again with fewer workers or samples'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _measure_or_message(run, what, folder, settings):
    """The measurements of a run, or the message of the error."""
    try:
        return measure_run(run, what, folder, settings)
    except A2SGError as error:
        return str(error)
