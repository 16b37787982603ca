"""Builds the tables of a report from the results of a suite's runs."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

from a2sg_zoo.benchmark.reports.convergence import (
    GAP_COLUMNS,
    WIDTH_COLUMNS,
    Ranking,
    gap_figures,
    learning_curves,
    ranking,
    width_figures,
)
from a2sg_zoo.benchmark.reports.selection import AXES, Result, select, short
from a2sg_zoo.benchmark.reports.statistics import compare, holm, summarize
from a2sg_zoo.benchmark.suites.checks import is_finite
from a2sg_zoo.benchmark.suites.results import run_name
from a2sg_zoo.errors import ConfigError, DataError


@dataclass
class Table:
    """One network on one data set.

    Attributes:
        network: name of the network.
        dataset: name of the data set.
        metric: metric that the methods are compared by.
        reference: method that the others are compared with.
        rows: one dictionary for each method, with the keys of `COLUMNS` and of those groups of `OPTIONAL_COLUMNS`
            that the report has; None where a figure does not exist.
        results: {method: {seed: result}} of the runs behind the rows.
        ranking: whether the ranking of the methods stands still, for runs that know their training accuracy.
    """

    network: str
    dataset: str
    metric: str
    reference: str
    rows: list[dict[str, Any]]
    results: dict[str, dict[int, Result]]
    ranking: Ranking | None = None

    @property
    def several_machines(self) -> bool:
        """Whether the runs were made on more than one machine, so that their times are not to be compared."""
        return len({r.get('machine') for runs in self.results.values() for r in runs.values()}) > 1


@dataclass
class Report:
    """The report of a suite.

    Attributes:
        title: its heading.
        facts: (name, text) of what was run, and how.
        tables: one for each network and data set.
        notes: sentences on results that stand in no row.
        sources: sources of published figures, in the order of their numbers.
    """

    title: str
    facts: list[tuple[str, str]]
    tables: list[Table]
    notes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


# {key of a row: what it is}, in the order of the CSV
COLUMNS = dict(
    network='network',
    dataset='data set',
    method='method',
    metric='metric that mean, std and differences are of',
    seeds_planned='seeds planned',
    seeds_done='seeds with a finished, sound run',
    mean='mean over the seeds',
    std='sample standard deviation (n - 1)',
    ci_low='95 % confidence interval of the mean (t)',
    ci_high='95 % confidence interval of the mean (t)',
    reference='method that differences and cost are relative to',
    pairs='seeds that this method and the reference share',
    difference='mean paired difference to the reference',
    difference_low='95 % confidence interval of the difference (t)',
    difference_high='95 % confidence interval of the difference (t)',
    t_p='paired t test, two-sided p',
    t_p_holm='the same, adjusted by Holm over the methods of the table',
    wilcoxon_p='Wilcoxon signed-rank test, two-sided p; exact for up to 13 pairs',
    wilcoxon_p_holm='the same, adjusted by Holm over the methods of the table',
    # times are None in a table whose runs are from several machines
    relative_cost='median seconds of a training step over those of the reference',
    seconds_per_step='median over the seeds',
    train_seconds='mean over the seeds',
    peak_memory_mb='largest over the seeds, 10^6 bytes',
    firing_rate='spikes for each neuron and time step, mean over the seeds',
    sops='additions caused by spikes, for an image, mean over the seeds',
    macs='multiply-accumulates of real-valued input, for an image, mean over the seeds',
    energy_uj='4.6 pJ for a MAC + 0.9 pJ for a SOP, for an image, microjoule, mean over the seeds',
    published='figure of a publication, not ours',
    published_source='its source',
    gaps='missing seeds, each with its reason',
)
# groups of further keys; a report has those groups of which some result has a figure
OPTIONAL_COLUMNS = (GAP_COLUMNS, WIDTH_COLUMNS)


def build_report(
    results: Sequence[Result],
    problems: Sequence[tuple[Any, str]],
    plan: Mapping[str, Any],
    metric: str = 'top1',
    reference: str = 'tri',
) -> Report:
    """Build the report of a suite.

    Args:
        results: results of its runs, from `load_results`.
        problems: (file, what is wrong) of results that do not count, from `load_results`.
        plan: what was to be run, from `read_plan`: name, command, networks, datasets, methods, seeds, published figures
            [dict(network, dataset, method, value, source)], and the identity of each run. Whatever is absent is taken
            from the results.
        metric: key of the results' metrics.
        reference: method to compare with.

    Raises:
        DataError: there is no result at all, or none that can be read and no plan.
        ConfigError: no method has the name `reference`, or no run has the metric.
    """
    if not results and not problems:
        raise DataError('there are no results to report; run the benchmark first')
    if not results and not plan.get('methods'):
        file, reason = problems[0]
        raise DataError(f'no result can be read; for example {file}: {reason}')
    axes = {axis: list(plan.get(f'{axis}s') or dict.fromkeys(sorted(r[axis] for r in results))) for axis in AXES}
    if reference not in axes['method']:
        raise ConfigError(
            f'the reference method {reference!r} is not in the suite; it has {", ".join(axes["method"]) or "no method"}'
        )
    measured = {name for r in results if r['status'] == 'finished' for name in r['metrics']}
    if measured and metric not in measured:
        raise ConfigError(f'no run has the metric {metric!r}; there are {", ".join(sorted(measured))}')
    cells, notes = select(results, problems, plan, axes)
    sources, published, without_table = _published(plan.get('published') or (), axes)
    begun = set(published) | {
        (network, dataset, method)
        for network, dataset, method, seed in product(*axes.values())
        if run_name(network, dataset, method, seed) in cells
    }
    tables = []
    for network, dataset in product(axes['network'], axes['dataset']):
        methods = axes['method']
        if begun:
            methods = [m for m in methods if m == reference or (network, dataset, m) in begun]
        absent = [m for m in axes['method'] if m not in methods]
        empty = begun and not any(key[:2] == (network, dataset) for key in begun)
        # without a plan, nothing says that each method was to run with each network on each data set
        if (empty or absent) and plan.get('networks'):
            which = 'none of its runs' if empty else f'no run of {", ".join(absent)}'
            notes.append(f'{network} on {dataset}: {which} was begun')
        if not empty:
            chosen = axes | dict(method=methods)
            tables.append(_table(network, dataset, chosen, cells, published, metric, reference))
    rows = [row for t in tables for row in t.rows]
    for group in OPTIONAL_COLUMNS:
        if all(row[key] is None for row in rows for key in group):
            for row, key in product(rows, group):
                del row[key]
    title = f'Benchmark: {plan.get("name") or "results"}'
    return Report(title, _facts(results, problems, plan, tables), tables, notes + without_table, sources)


def _published(
    entries: Iterable[Mapping[str, Any]], axes: Mapping[str, Sequence]
) -> tuple[list[str], dict[tuple[str, str, str], tuple[float, str]], list[str]]:
    """(sources in order, {(network, dataset, method): (value, source)}, notes on figures without a table)."""
    sources, found, notes = [], {}, []
    for entry in entries:
        key = entry['network'], entry['dataset'], entry['method']
        if entry['network'] in axes['network'] and entry['dataset'] in axes['dataset']:
            if entry['source'] not in sources:
                sources.append(entry['source'])
            found[key] = float(entry['value']), entry['source']
        else:
            notes.append(f'published, without a table here: {" ".join(key)} {entry["value"]} ({entry["source"]})')
    return sources, found, notes


def _table(
    network: str,
    dataset: str,
    axes: Mapping[str, Sequence],
    cells: Mapping[str, Result | str],
    published: Mapping[tuple[str, str, str], tuple[float, str]],
    metric: str,
    reference: str,
) -> Table:
    sound: dict[str, dict[int, Result]] = {method: {} for method in axes['method']}
    gaps: dict[str, dict[int, str]] = {method: {} for method in axes['method']}
    for method in axes['method']:
        for seed in axes['seed']:
            cell = cells.get(run_name(network, dataset, method, seed), 'no result')
            if isinstance(cell, dict) and not is_finite(cell['metrics'].get(metric)):
                cell = f'finished without a finite {metric}'
            if isinstance(cell, dict):
                sound[method][seed] = cell
            else:
                gaps[method][seed] = cell
    values = {method: {s: float(r['metrics'][metric]) for s, r in runs.items()} for method, runs in sound.items()}
    comparisons = {m: compare(values[m], values[reference]) for m in axes['method'] if m != reference}
    compared = sum(c.n > 1 for c in comparisons.values())
    t_holm = holm({m: c.t_p for m, c in comparisons.items()}, compared)
    wilcoxon_holm = holm({m: c.wilcoxon_p for m, c in comparisons.items()}, compared)
    reference_seconds = _over(sound[reference], statistics.median, 'cost', 'seconds_per_step')
    rows = []
    only_published = [m for n, d, m in published if (n, d) == (network, dataset) and m not in axes['method']]
    for method in [*axes['method'], *dict.fromkeys(only_published)]:
        row = dict.fromkeys(chain(COLUMNS, *OPTIONAL_COLUMNS))
        row.update(network=network, dataset=dataset, method=method, metric=metric, reference=reference, gaps='')
        row['published'], row['published_source'] = published.get((network, dataset, method), (None, None))
        rows.append(row)
        if method not in sound:
            row.update(seeds_planned=0, seeds_done=0, pairs=0)
            continue
        summary = summarize(values[method].values())
        row.update(
            seeds_planned=len(axes['seed']),
            seeds_done=summary.n,
            mean=summary.mean,
            std=summary.std,
            ci_low=summary.low,
            ci_high=summary.high,
            gaps=_listed(gaps[method]),
            **_costs(sound[method], reference_seconds),
            **gap_figures(sound[method], metric),
            **width_figures(sound[method]),
        )
        if method in comparisons:
            c = comparisons[method]
            row.update(
                pairs=c.n,
                difference=c.difference,
                difference_low=c.low,
                difference_high=c.high,
                t_p=c.t_p,
                t_p_holm=t_holm[method],
                wilcoxon_p=c.wilcoxon_p,
                wilcoxon_p_holm=wilcoxon_holm[method],
            )
    stands = None
    if any(row['train_top1'] is not None for row in rows):
        stands = ranking(learning_curves(sound))
    if stands:
        for row in rows:
            if row['method'] in stands.changes:
                row.update(ranking_tau=stands.tau, place_change=stands.changes[row['method']])
    table = Table(network, dataset, metric, reference, rows, sound, stands)
    if table.several_machines:
        for row in rows:
            row.update(relative_cost=None, seconds_per_step=None, train_seconds=None)
    return table


def _costs(runs: Mapping[int, Result], reference_seconds: float | None) -> dict[str, float | None]:
    """The columns of a row that say what its runs cost."""
    seconds = _over(runs, statistics.median, 'cost', 'seconds_per_step')
    memory = _over(runs, max, 'cost', 'peak_memory_bytes')
    energy = _over(runs, statistics.fmean, 'activity', 'energy_pj')
    return dict(
        seconds_per_step=seconds,
        relative_cost=seconds / reference_seconds if seconds is not None and reference_seconds else None,
        train_seconds=_over(runs, statistics.fmean, 'cost', 'train_seconds'),
        peak_memory_mb=None if memory is None else memory / 1e6,
        energy_uj=None if energy is None else energy * 1e-6,
        **{key: _over(runs, statistics.fmean, 'activity', key) for key in ('firing_rate', 'sops', 'macs')},
    )


def _over(runs: Mapping[int, Result], function: Callable, group: str, key: str) -> float | None:
    """`function` of a figure of the runs; None unless each of them has it."""
    values = [(run.get(group) or {}).get(key) for run in runs.values()]
    return function(values) if values and all(map(is_finite, values)) else None


def _listed(gaps: Mapping[int, str]) -> str:
    """The gaps of a row, for example 'seeds 1, 4: no result; seed 2: failed: ...'."""
    by_reason: dict[str, list[str]] = {}
    for seed, reason in gaps.items():
        by_reason.setdefault(reason, []).append(str(seed))
    return '; '.join(
        f'seed{"s" * (len(seeds) > 1)} {", ".join(seeds)}: {reason}' for reason, seeds in by_reason.items()
    )


def _facts(
    results: Sequence[Result], problems: Sequence, plan: Mapping[str, Any], tables: Sequence[Table]
) -> list[tuple[str, str]]:
    planned = sum(row['seeds_planned'] for table in tables for row in table.rows)
    done = sum(row['seeds_done'] for table in tables for row in table.rows)
    failed = sum(r['status'] != 'finished' for r in results)
    runs = (
        f'{done} of {planned} in the tables'
        + (f'; {failed} failed' if failed else '')
        + (f'; {len(problems)} damaged or foreign files' if problems else '')
    )
    times = sorted(str(r['started']) for r in results if r.get('started'))
    facts = [
        ('Suite', plan.get('name')),
        ('Command', plan.get('command')),
        ('Runs', runs),
        ('Started', ' to '.join(dict.fromkeys((times[0], times[-1]))) if times else None),
        ('Version of results', _distinct(short(r.get('version')) for r in results)),
        ('Machine', _distinct(r['machine'] for r in results if r.get('machine')) or plan.get('machine')),
    ]
    finished = [r for r in results if r.get('versions')]  # a failed run may have ended before it recorded them
    keys = dict.fromkeys(key for r in finished for key in r['versions'])
    facts.append(
        ('Versions', '; '.join(f'{key} {_distinct(r["versions"].get(key) for r in finished)}' for key in keys))
    )
    facts.append(('Report of', time.strftime('%Y-%m-%d %H:%M')))
    return [(name, str(text) if text else 'not recorded') for name, text in facts]


def _distinct(values: Iterable[Any]) -> str:
    """All values that occur, the most frequent first: a report must not hide that its runs differ."""
    texts = (v if isinstance(v, str) else json.dumps(v, sort_keys=True) for v in values)
    return ' / '.join(text for text, _ in Counter(texts).most_common())
