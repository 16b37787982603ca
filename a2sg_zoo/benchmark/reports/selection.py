"""Which results of a folder count for a report, and why the others do not.

All numbers of a report come from finished runs with the config, the version and the data that the suite's plan names.
Everything else is a gap. It is counted and given with its reason, and never filled.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from a2sg_zoo.benchmark.suites.checks import are_published
from a2sg_zoo.benchmark.suites.results import run_name
from a2sg_zoo.errors import DataError

AXES = ('network', 'dataset', 'method', 'seed')

Result = dict[str, Any]


def read_plan(folder: str | os.PathLike) -> dict[str, Any]:
    """Read what the suite of a folder was to run, from its suite.json.

    Returns:
        The keys that `build_report` takes; nothing if the folder has no suite.json.

    Raises:
        DataError: the file is damaged.
    """
    path = Path(folder) / 'suite.json'
    if not path.exists():
        return {}
    try:
        plan = json.loads(path.read_bytes())
        _check_plan(plan)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f'{path} is damaged ({error}); run the benchmark again: it writes this file and keeps the results'
        ) from error
    return plan


def _check_plan(plan: Any) -> None:
    def is_list(value, kind):
        return isinstance(value, list) and all(isinstance(x, kind) for x in value)

    if not isinstance(plan, dict):
        raise ValueError('it must be a JSON object')
    wrong = [key for key in ('networks', 'datasets', 'methods') if not is_list(plan.get(key, []), str)]
    wrong += ['seeds'] * (not is_list(plan.get('seeds', []), int))
    wrong += ['published'] * (not are_published(plan.get('published', [])))
    wrong += [key for key in ('name', 'metric', 'reference') if not isinstance(plan.get(key, ''), str)]
    runs = plan.get('runs', {})
    if not isinstance(runs, dict) or not all(isinstance(identity, dict) for identity in runs.values()):
        wrong.append('runs')
    if wrong:
        raise ValueError(f'{", ".join(wrong)}: of the wrong type')


def select(
    results: Sequence[Result],
    problems: Iterable[tuple[str | os.PathLike, str]],
    plan: Mapping[str, Any],
    axes: Mapping[str, Sequence],
) -> tuple[dict[str, Result | str], list[str]]:
    """Select the results that count.

    Args:
        results: from `load_results`.
        problems: from `load_results`.
        plan: from `read_plan`.
        axes: the planned values of `network`, `dataset`, `method` and `seed`.

    Returns:
        {name of a run: its result, or the reason of the gap}, and notes on files that belong to no planned run.
    """
    planned = {run_name(*names) for names in product(*(axes[axis] for axis in AXES))}
    counts = Counter(_name(r) for r in results)
    expected = _expected(results, plan)
    cells: dict[str, Result | str] = {}
    notes = []
    for r in results:
        name = _name(r)
        if name not in planned:
            notes.append(f'{name}: a result of a run that the suite does not name; left out')
        elif counts[name] > 1:
            cells[name] = f'{counts[name]} results claim this run'
        else:
            reason = _why_not(r, expected(r))
            cells[name] = r if reason is None else reason
    for file, reason in problems:
        name = re.sub(r'\.json$', '', str(file).replace('\\', '/').rsplit('/', 1)[-1])
        if name in planned:
            cells[name] = one_line(reason)
        else:
            notes.append(f'{name}: {one_line(reason)}')
    return cells, notes


def _name(result: Result) -> str:
    return run_name(*(result[axis] for axis in AXES))


def _expected(results: Sequence[Result], plan: Mapping[str, Any]):
    """A function result -> the identity that its run should have.

    The plan names it. Plans of older versions of a2sg_zoo do not: there, the version and the data of the newest run
    count.
    """
    runs = plan.get('runs') or {}
    newest: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for r in sorted(results, key=lambda r: str(r.get('started'))):
        newest = r
    for r in sorted(results, key=lambda r: str(r.get('started'))):
        if r.get('version') == newest.get('version'):
            data[r['dataset']] = r.get('data')

    def expected(r):
        return runs.get(_name(r)) or dict(version=newest.get('version'), data=data.get(r['dataset'], r.get('data')))

    return expected


def _why_not(result: Result, expected: Mapping[str, Any]) -> str | None:
    """Why a result does not count; None if it does. As in `Run.is_done`, the name of its suite is no reason."""
    if result['status'] != 'finished':
        return f'failed: {one_line(result.get("reason") or "no reason given")}'
    if result.get('version') != expected.get('version'):
        return f'made by another version ({short(result.get("version"))} in place of {short(expected.get("version"))})'
    if result.get('data') != expected.get('data'):
        return 'run on other data'
    if result.get('hash') != expected.get('hash', result.get('hash')):
        return 'run with another config than the suite has now'
    return None


def short(version: Any) -> str:
    """Return the version of a result as a report shows it; versions of old results are long hashes."""
    return str(version)[:12] if version else 'unknown'


def one_line(text: Any, length: int = 200) -> str:
    """Return a text on one line, cut to a length.

    >>> one_line('a  b')
    'a b'
    """
    text = ' '.join(str(text).split())
    return text if len(text) <= length else text[: length - 3] + '...'
