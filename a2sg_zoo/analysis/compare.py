"""Runs side by side: the same measures on the same samples, means over seeds, and whether sharpness goes with error."""

import csv
import io
import json
import math
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy import stats

from a2sg_zoo.analysis.compare_measures import SECTIONS, measure_run, measure_training
from a2sg_zoo.errors import A2SGError, ConfigError

# {title of a table: (section, {measure: head of its column})}
COLUMNS = {
    'Generalisation': (
        'accuracy',
        dict(
            accuracy='test accuracy, %',
            train_accuracy='training accuracy, %',
            train_loss='training loss',
            test_loss='test loss',
            gap='test - training loss',
        ),
    ),
    'Local gradients over training': (
        'training',
        dict(
            cv_training='CV, mean',
            sgv_training='SGV, mean',
            variance_training='variance, mean',
            tgc_training='TGC, mean',
            cv_end='CV, end',
            sgv_end='SGV, end',
            tgc_end='TGC, end',
        ),
    ),
    'Local gradients after training': ('variation', dict(cv='CV', sgv='SGV', tgc='TGC')),
    'Flatness: the empirical Fisher': ('fisher', dict(fisher='largest eigenvalue', fisher_trace='trace')),
    'Flatness: the Hessian and SAM': (
        'hessian',
        dict(hessian='largest Hessian eigenvalue', hessian_trace='its trace', sam='SAM sharpness'),
    ),
    'Flatness with the same surrogate for all: TRI, beta = 1': (
        'common',
        dict(fisher_common='largest Fisher eigenvalue', hessian_common='largest Hessian eigenvalue'),
    ),
    'Flatness without a surrogate': ('landscape', dict(rise='rise of the loss')),
    'Energy': (
        'energy',
        dict(
            energy_nj='energy an image, nJ',
            firing_rate='firing rate',
            sparsity='sparsity',
            sops='SOPs',
            macs='MACs',
            ann_nj='as an ANN, nJ',
        ),
    ),
}
SHARPNESS = dict(
    fisher='largest Fisher eigenvalue',
    hessian='largest Hessian eigenvalue',
    hessian_trace='Hessian trace',
    sam='SAM sharpness',
    fisher_common='largest Fisher eigenvalue, same surrogate',
    hessian_common='largest Hessian eigenvalue, same surrogate',
    rise='rise of the loss',
)
# with fewer, quantities that have nothing to do with each other show |rho| > 0.75 in more than one of 20 cases
LEAST_RUNS = 8


@dataclass(frozen=True)
class Entry:
    """A run with what was measured: the sections, and from all of them together `values` {measure: number or None},
    `undefined` {measure: why} and `notes`."""

    run: object
    sections: dict
    parameters: int

    @property
    def values(self):
        return {key: value for data in self.sections.values() for key, value in data['values'].items()}

    @property
    def undefined(self):
        return {key: why for data in self.sections.values() for key, why in data.get('undefined', {}).items()}

    @property
    def notes(self):
        return [note for data in self.sections.values() for note in data.get('notes', [])]


@dataclass(frozen=True)
class Group:
    """Runs that can be compared: the same network on the same samples.

    Attributes:
        title: 'NETWORK on DATA'.
        entries: [Entry].
    """

    title: str
    entries: list

    @property
    def methods(self):
        """{method: [Entry]} in order of appearance."""
        found = {}
        for entry in self.entries:
            found.setdefault(entry.run.method, []).append(entry)
        return found


@dataclass(frozen=True)
class Cell:
    """Of a measure over the runs of a method: mean and sample standard deviation (n - 1; None for n < 2) over the n of
    `of` runs that have it; `why` says why the others do not."""

    mean: float | None
    std: float | None
    n: int
    of: int
    why: str

    def __str__(self):
        if self.mean is None:
            return f'undefined: {self.why}'
        digits = _decimals(self.mean)
        spread = f' ± {self.std:{digits}}' if self.std is not None else ''
        return f'{self.mean:{digits}}{spread}' + (f' ({self.n} of {self.of} runs)' if self.n < self.of else '')


def _decimals(x):
    """The format that shows four significant digits of x, and as many decimals of its spread."""
    if x and math.isfinite(x) and not 1e-3 <= abs(x) < 1e9:
        return '.3e'
    return f',.{max(0, 3 - math.floor(math.log10(abs(x)))) if x else 0}f'


def cell_of(entries, measure):
    """The `Cell` of a measure over some entries."""
    values = [entry.values.get(measure) for entry in entries]
    found = [value for value in values if value is not None]
    why = '; '.join(
        dict.fromkeys(
            entry.undefined.get(measure, 'not measured') for entry, value in zip(entries, values) if value is None
        )
    )
    return Cell(
        statistics.fmean(found) if found else None,
        statistics.stdev(found) if len(found) > 1 else None,
        len(found),
        len(values),
        why,
    )


def spearman(group, measure, against='test_error'):
    """Rank correlation over the runs of a group.

    Returns:
        dict(rho, p, n, why): rho and p (two-sided) are None where there is none, and `why` says why; where n is below
        `LEAST_RUNS`, `why` says that the number means little.
    """
    pairs = [(entry.values.get(measure), entry.values.get(against)) for entry in group.entries]
    pairs = [pair for pair in pairs if None not in pair]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs)):
        why = f'only {len(pairs)} runs have both' if len(pairs) < 3 else 'all runs have the same value'
        return dict(rho=None, p=None, n=len(pairs), why=why)
    found = stats.spearmanr(*zip(*pairs))
    few = f'{len(pairs)} runs are too few to say anything' if len(pairs) < LEAST_RUNS else ''
    return dict(rho=float(found.statistic), p=float(found.pvalue), n=len(pairs), why=few)


def compare(runs, what, folder, settings=None, workers=1, report=None):
    """Measures every run, in `workers` processes, and groups them.

    Args:
        runs: from `read_runs`.
        what: names of `measures.SECTIONS`.
        folder: results of single runs are kept in `folder`/runs.
        settings: overrides of `measures.SETTINGS`.
        report: called as report(run, error or None) as each run is done.

    Returns:
        ([Group], {run's path: why it could not be measured}).
    """
    unknown = [name for name in what if name not in SECTIONS]
    if unknown:
        raise ConfigError(f'--what: there is no {", ".join(unknown)}; there are {", ".join(SECTIONS)}')
    found, failed = {}, {}
    for run, result in _measured(runs, what, Path(folder) / 'runs', settings, workers):
        if isinstance(result, str):
            failed[run.path] = result
        else:
            found[run.path] = result
        if report:
            report(run, failed.get(run.path))
    groups = {}
    for run in runs:
        if run.path in found:
            result = found[run.path]
            entry = Entry(run, {**result['sections'], 'training': measure_training(run)}, result['parameters'])
            groups.setdefault((run.title, result['samples'], entry.parameters), []).append(entry)
    titles = [title for title, _, _ in groups]
    return [
        Group(
            title if titles.count(title) == 1 else f'{title} ({parameters:,} parameters, samples {samples[:6]})',
            entries,
        )
        for (title, samples, parameters), entries in groups.items()
    ], failed


def _measured(runs, what, folder, settings, workers):
    if workers <= 1 or len(runs) <= 1:
        for run in runs:
            yield run, _attempt(run, what, folder, settings)
        return
    threads = max(1, torch.get_num_threads() // workers)
    # afresh: a fork after threaded work can hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), torch.set_num_threads, (threads,))
    try:
        jobs = {pool.submit(_attempt, run, what, folder, settings): run for run in runs}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    except BrokenProcessPool as error:
        raise A2SGError(
            'a process that measured a run died (out of memory?); what is done is kept. Run it again, with '
            'fewer workers or samples'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(run, what, folder, settings):
    """The measures of a run, or what is wrong with it."""
    try:
        return measure_run(run, what, folder, settings)
    except A2SGError as error:
        return str(error)


def tables(group):
    """[(title, rows)] of a group: a row for each method, and the rank correlations of sharpness and test error."""
    result = []
    for title, (section, columns) in COLUMNS.items():
        if not any(section in entry.sections for entry in group.entries):
            continue
        rows = [
            {
                'method': method,
                'runs': len(entries),
                **{head: str(cell_of(entries, measure)) for measure, head in columns.items()},
            }
            for method, entries in group.methods.items()
        ]
        result.append((title, rows))
    if any('accuracy' in entry.sections for entry in group.entries):
        rows = []
        for measure, head in SHARPNESS.items():
            if any(measure in entry.values for entry in group.entries):
                found = spearman(group, measure)
                rows.append(
                    {'sharpness': head, 'rho': found['rho'], 'p': found['p'], 'n': found['n'], 'remark': found['why']}
                )
        if rows:
            result.append(("Spearman's rank correlation with the test error, over runs", rows))
    return result


def notes(groups, failed):
    """Sentences on what is undefined or missing."""
    lines = [f'{path.parent.name}/{path.name}: not measured: {why}' for path, why in failed.items()]
    for group in groups:
        for entry in group.entries:
            lines += [f'{entry.run.name}: {note}' for note in entry.notes]
    return lines


def as_csv(groups):
    """Every number of every run, a line each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['group', 'method', 'seed', 'run', 'measure', 'value', 'undefined'])
    for group in groups:
        for entry in group.entries:
            for measure, value in entry.values.items():
                writer.writerow(
                    [
                        group.title,
                        entry.run.method,
                        entry.run.seed,
                        entry.run.path,
                        measure,
                        '' if value is None else repr(value),
                        entry.undefined.get(measure, ''),
                    ]
                )
    return file.getvalue()


def as_json(groups, failed):
    """Means, spreads and correlations as text."""
    data = [
        dict(
            title=group.title,
            methods={
                method: dict(
                    seeds=[entry.run.seed for entry in entries],
                    runs=[str(entry.run.path) for entry in entries],
                    measures={
                        measure: vars(cell_of(entries, measure))
                        for measure in dict.fromkeys(key for entry in entries for key in entry.values)
                    },
                )
                for method, entries in group.methods.items()
            },
            spearman={measure: spearman(group, measure) for measure in SHARPNESS},
        )
        for group in groups
    ]
    return (
        json.dumps(
            dict(groups=data, failed={str(path): why for path, why in failed.items()}), indent=1, allow_nan=False
        )
        + '\n'
    )
