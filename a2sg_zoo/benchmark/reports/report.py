"""From the results of runs to the tables of a report: what was measured, over which seeds, and what is missing.

A number in a table comes from finished runs of one code version on one state of the data. Whatever else is found, or
is not found, is a gap: it is counted and given with its reason, never filled.
"""

import json
import math
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from a2sg_zoo.benchmark.reports.statistics import compare, holm, summarize
from a2sg_zoo.errors import ConfigError, DataError


@dataclass
class Table:
    """One network on one data set.

    Attributes:
        network, dataset, metric, reference: what it is about.
        rows: a flat dict a method, with the keys of `COLUMNS`; None where a figure does not exist.
        results: {method: {seed: result}} of the runs behind the rows.
    """

    network: str
    dataset: str
    metric: str
    reference: str
    rows: list
    results: dict


@dataclass
class Report:
    """Facts about the suite as (name, text), tables, notes on what concerns no row, and sources of published figures
    with their numbers."""

    title: str
    facts: list
    tables: list
    notes: list = field(default_factory=list)
    sources: list = field(default_factory=list)


# keys of a row, in the order of the CSV, with what they mean
COLUMNS = dict(
    network='network',
    dataset='data set',
    method='method',
    metric='what mean, std and differences are of',
    seeds_planned='seeds planned',
    seeds_done='seeds whose run is finished and sound',
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
    wilcoxon_p='Wilcoxon signed-rank test, two-sided exact p',
    wilcoxon_p_holm='the same, adjusted by Holm over the methods of the table',
    relative_cost='median seconds a training step over those of the reference',
    seconds_per_step='median over the seeds',
    train_seconds='mean over the seeds',
    peak_memory_mb='largest over the seeds, 10^6 bytes',
    firing_rate='spikes a neuron and time step, mean over the seeds',
    sops='additions caused by spikes, an image, mean over the seeds',
    macs='multiply-accumulates of real-valued input, an image, mean over the seeds',
    energy_uj='4.6 pJ a MAC + 0.9 pJ a SOP, an image, microjoule, mean over the seeds',
    published='figure of a publication, not ours',
    published_source='where it stands',
    gaps='missing seeds, each with its reason',
)


def build_report(results, problems, plan, metric='top1', reference='tri'):
    """A `Report` of the results of one suite.

    Args:
        results: dicts as the runner writes them (network, dataset, method, seed, status, reason, code, data, versions,
            started, metrics, cost, activity, curves).
        problems: [(file name, reason)] of results that could not be read or are not to be trusted.
        plan: dict with name, command, and what was to be run: networks, datasets, methods, seeds, and published, a list
            of dict(network, dataset, method, value, source). Whatever is absent is taken from the results.
        metric: key of the results' metrics.
        reference: method to compare with.

    Raises:
        DataError: there is no result at all.
        ConfigError: no method has the reference's name, or no run the metric.
    """
    if not results and not problems:
        raise DataError('there are no results to report; run the benchmark first')
    axes = {
        key: list(plan.get(f'{key}s') or dict.fromkeys(sorted(r[key] for r in results)))
        for key in ('network', 'dataset', 'method', 'seed')
    }
    if reference not in axes['method']:
        raise ConfigError(
            f'the reference method {reference!r} is not in the suite; it has {", ".join(axes["method"]) or "no method"}'
        )
    measured = {name for r in results if r['status'] == 'finished' for name in r['metrics']}
    if measured and metric not in measured:
        raise ConfigError(f'no run has the metric {metric!r}; there are {", ".join(sorted(measured))}')
    cells, notes = _cells(results, problems, axes)
    sources, published, beside = _published(plan.get('published') or (), axes)
    notes += beside
    tables = [
        _table(network, dataset, axes, cells, published, metric, reference)
        for network in axes['network']
        for dataset in axes['dataset']
    ]
    # a suite need not run each network on each data set; without a plan nothing says that it was meant to
    tables = [
        t
        for t in tables
        if plan.get('networks')
        or any(row['seeds_done'] for row in t.rows)
        or any('no result' not in row['gaps'] for row in t.rows)
    ]
    return Report(
        f'Benchmark: {plan.get("name") or "results"}', _facts(results, problems, plan, tables), tables, notes, sources
    )


def read_plan(folder):
    """What the suite of a folder was to run, from its `suite.json`, for `build_report`; {} without that file."""
    path = Path(folder) / 'suite.json'
    if not path.exists():
        return {}
    try:
        plan = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(
            f'{path} is damaged ({error}); run the benchmark once more: it writes the file anew and keeps the results'
        ) from error
    if not isinstance(plan, dict):
        raise DataError(f'{path} does not describe a suite; it must be a JSON object')
    return plan


def _name(network, dataset, method, seed):
    return f'{network}-{dataset}-{method}-s{seed}'


def _cells(results, problems, axes):
    """{run's name: result or reason of the gap}, and notes on what has no place in the tables."""
    newest = max(results, key=lambda r: str(r.get('started')), default={})
    code = newest.get('code')
    data = {}
    for r in sorted(results, key=lambda r: str(r.get('started'))):
        if r.get('code') == code:
            data[r['dataset']] = _plain(r.get('data'))
    counts = Counter(_name(r['network'], r['dataset'], r['method'], r['seed']) for r in results)
    planned = {
        _name(n, d, m, s)
        for n in axes['network']
        for d in axes['dataset']
        for m in axes['method']
        for s in axes['seed']
    }
    cells, notes = {}, []
    for r in results:
        name = _name(r['network'], r['dataset'], r['method'], r['seed'])
        if name not in planned:
            notes.append(f'{name}: a result of a run that the suite does not name; left out')
        elif counts[name] > 1:
            cells[name] = f'{counts[name]} results claim this run'
        elif r['status'] != 'finished':
            cells[name] = f'failed: {_one_line(r.get("reason") or "no reason given")}'
        elif r.get('code') != code:
            cells[name] = f'made by another code version ({_short(r.get("code"))}; this report is of {_short(code)})'
        elif _plain(r.get('data')) != data[r['dataset']]:
            cells[name] = 'run on other data than the rest'
        else:
            cells[name] = r
    for file, reason in problems:
        name = re.sub(r'\.json$', '', str(file).replace('\\', '/').rsplit('/', 1)[-1])
        if name in planned:
            cells[name] = _one_line(reason)
        else:
            notes.append(f'{name}: {_one_line(reason)}')
    return cells, notes


def _published(entries, axes):
    """(sources in order, {(network, dataset, method): (value, source)}, notes on entries without a table)."""
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


def _table(network, dataset, axes, cells, published, metric, reference):
    seeds, sound, gaps = axes['seed'], {}, {}
    for method in axes['method']:
        sound[method], gaps[method] = {}, {}
        for seed in seeds:
            cell = cells.get(_name(network, dataset, method, seed), 'no result')
            if isinstance(cell, dict) and not _is_number(cell['metrics'].get(metric)):
                cell = f'finished without a finite {metric}'
            (sound if isinstance(cell, dict) else gaps)[method][seed] = cell
    values = {method: {s: float(r['metrics'][metric]) for s, r in runs.items()} for method, runs in sound.items()}
    comparisons = {m: compare(values[m], values[reference]) for m in axes['method'] if m != reference}
    t_holm = holm({m: c.t_p for m, c in comparisons.items()})
    wilcoxon_holm = holm({m: c.wilcoxon_p for m, c in comparisons.items()})
    base = _over(sound[reference], statistics.median, 'cost', 'seconds_per_step')
    rows = []
    others = [m for n, d, m in published if (n, d) == (network, dataset) and m not in axes['method']]
    for method in [*axes['method'], *dict.fromkeys(others)]:
        row = dict.fromkeys(COLUMNS)
        row.update(network=network, dataset=dataset, method=method, metric=metric, reference=reference, gaps='')
        row['published'], row['published_source'] = published.get((network, dataset, method), (None, None))
        rows.append(row)
        if method not in sound:  # known from its publication only
            row.update(seeds_planned=0, seeds_done=0, pairs=0)
            continue
        runs, summary = sound[method], summarize(values[method].values())
        row.update(
            seeds_planned=len(seeds),
            seeds_done=summary.n,
            mean=summary.mean,
            std=summary.std,
            ci_low=summary.low,
            ci_high=summary.high,
            gaps=_listed(gaps[method]),
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
        seconds = _over(runs, statistics.median, 'cost', 'seconds_per_step')
        energy, memory = (
            _over(runs, statistics.fmean, 'activity', 'energy_pj'),
            _over(runs, max, 'cost', 'peak_memory_bytes'),
        )
        row.update(
            seconds_per_step=seconds,
            relative_cost=seconds / base if seconds is not None and base else None,
            train_seconds=_over(runs, statistics.fmean, 'cost', 'train_seconds'),
            peak_memory_mb=None if memory is None else memory / 1e6,
            energy_uj=None if energy is None else energy * 1e-6,
            **{key: _over(runs, statistics.fmean, 'activity', key) for key in ('firing_rate', 'sops', 'macs')},
        )
    return Table(network, dataset, metric, reference, rows, sound)


def _over(runs, function, group, key):
    """`function` of a figure of the runs, or None unless each of them has it."""
    values = [(run.get(group) or {}).get(key) for run in runs.values()]
    return function(values) if values and all(_is_number(v) for v in values) else None


def _listed(gaps):
    """'seeds 1, 4: no result; seed 2: failed: ...'"""
    by_reason = {}
    for seed, reason in gaps.items():
        by_reason.setdefault(reason, []).append(str(seed))
    return '; '.join(
        f'seed{"s" * (len(seeds) > 1)} {", ".join(seeds)}: {reason}' for reason, seeds in by_reason.items()
    )


def _facts(results, problems, plan, tables):
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
        ('Code', _distinct(_short(r.get('code')) for r in results)),
        ('Machine', plan.get('machine')),
    ]
    finished = [r for r in results if r.get('versions')]  # a run that failed may not have come to note them
    keys = dict.fromkeys(key for r in finished for key in r['versions'])
    facts.append(
        ('Versions', '; '.join(f'{key} {_distinct(r["versions"].get(key) for r in finished)}' for key in keys))
    )
    facts.append(('Report of', time.strftime('%Y-%m-%d %H:%M')))
    return [(name, text or 'not recorded') for name, text in facts]


def _distinct(values):
    """All values that occur, most frequent first: a report must not hide that runs differ."""
    return ' / '.join(str(v) for v, _ in Counter(v if isinstance(v, str) else _plain(v) for v in values).most_common())


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value):
    return json.dumps(value, sort_keys=True)


def _short(code):
    return str(code)[:12] if code else 'unknown'


def _one_line(text, length=200):
    text = ' '.join(str(text).split())
    return text if len(text) <= length else text[: length - 3] + '...'
