"""The tables of results on the site: the leaderboard of methods, and the pretrained networks.

    ```{leaderboard} small_cpu a2sg_choices
    :published: benchmarks/published.json
    ```

    ```{pretrained-networks}
    ```

A name of a suite stands for `docs/benchmarks/NAME/report.json`, which `a2sg-zoo report` wrote, and for
`configs/suites/NAME.py`. A file that does not belong to its suite is an error that names
the line of the page.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from a2sg_zoo.benchmark.suites.suite import compose, read_suite
from a2sg_zoo.errors import A2SGError, CheckpointError, DataError
from a2sg_zoo.hub.index import SHIPPED, Entry, read_index
from a2sg_zoo.utils.markdown import markdown_table

ROOT = Path(__file__).resolve().parents[2]
MADE_BY = 'a2sg_zoo report'
PUBLISHED_KEYS = dict(method=str, network=str, data=str, T=int, top1=(int, float), source=str, url=str)
LEADERBOARD = (
    'method',
    'data',
    'network',
    'T',
    'top-1 %, ours',
    '95 % interval',
    'top-1 %, published',
    'source',
    'seeds',
    'difference',
    'step time',
    'energy, µJ',
)
NETWORKS = ('name', 'task', 'data', 'T', 'parameters, M', 'file, MB', 'metric', 'result')
# {task: (score of the table, its name there)}
SCORES = dict(
    classification=('top1', 'top1, %'),
    segmentation=('mIoU', 'mIoU, %'),
    detection=('bbox_mAP', 'box AP, %'),
    language=('bits_per_character', 'bits per character'),
)


def read_results(file: Path, suite_file: Path) -> list[dict[str, Any]]:
    """Read the rows of a suite's results, each with the number of time steps `T` of its network.

    Args:
        file: report.json, in a folder of the name of the suite.
        suite_file: the suite.

    Raises:
        DataError: the file cannot be read, is none of `a2sg-zoo report`, holds another suite, or lacks runs.
        ConfigError: the suite file has a mistake.
    """
    try:
        contents = json.loads(file.read_text())
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror}; write it with a2sg-zoo report') from error
    except ValueError as error:
        raise DataError(f'{file} is cut short or damaged: {error}') from error
    if (
        not isinstance(contents, dict)
        or contents.get('made_by') != MADE_BY
        or not isinstance(contents.get('rows'), list)
    ):
        raise DataError(f'{file} is no file of results: made_by must be {MADE_BY!r}; write it with a2sg-zoo report')
    suite = read_suite(suite_file)
    if contents.get('suite') != suite.name or file.parent.name != suite.name:
        raise DataError(
            f'{file} holds results of the suite {contents.get("suite")!r}, but it stands where those of '
            f'{suite.name!r} belong ({suite_file}); move it to docs/benchmarks/{contents.get("suite")}'
        )
    planned = {(n, d, m) for n in suite.networks for d in suite.datasets for m in suite.methods}
    rows = [row for row in contents['rows'] if row.get('seeds_planned') != 0]  # the others are published figures
    found = {(row.get('network'), row.get('dataset'), row.get('method')) for row in rows}
    if found != planned:
        strange = sorted(found ^ planned, key=str)[0]
        raise DataError(
            f'{file}: {" ".join(map(str, strange))} is '
            + ('missing' if strange in planned else f'no run of {suite_file}')
            + '; run the suite and the report again'
        )
    for row in rows:
        if not _is_number(row.get('mean')) or row.get('metric') != suite.metric:
            raise DataError(f'{file}: {row["method"]} on {row["dataset"]} has no finite mean of {suite.metric}')
        if row.get('seeds_done') != len(suite.seeds):
            raise DataError(
                f'{file}: {row["method"]} on {row["dataset"]} has {row.get("seeds_done")} of {len(suite.seeds)} seeds; '
                'run the suite and the report again'
            )
    steps = {
        (n, d): compose(suite, n, d, suite.reference, {}).model.backbone.T
        for n in suite.networks
        for d in suite.datasets
    }
    return [dict(row, T=steps[row['network'], row['dataset']]) for row in rows]


def read_published(file: Path) -> list[dict[str, Any]]:
    """Read published figures: a list of dictionaries with `PUBLISHED_KEYS`.

    Raises:
        DataError: the file cannot be read, or an entry lacks a key, such as its source.
    """
    try:
        entries = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f'{file} cannot be read: {error}') from error
    for k, entry in enumerate(entries if isinstance(entries, list) else [None]):
        for key, kind in PUBLISHED_KEYS.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind) or entry[key] == '':
                raise DataError(f'{file}: entry {k} needs {key!r}; a published figure stands with its source')
    return entries


def leaderboard(results: Sequence[Mapping[str, Any]], published: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of the leaderboard as Markdown: suite by suite, then the published figures."""
    suites = {row['suite']: None for row in results}
    ours = sorted(
        results, key=lambda row: (list(suites).index(row['suite']), row['dataset'], row['network'], -row['mean'])
    )
    rows = [
        [
            row['method'],
            row['dataset'],
            row['network'],
            row['T'],
            f'{row["mean"]:.2f}' + _filled(' ± {:.2f}', row.get('std')),
            _filled('{:.1f} to {:.1f}', row.get('ci_low'), row.get('ci_high')),
            '',
            f'[{row["suite"]}](benchmarks/{row["suite"]}/report.md)',
            row['seeds_done'],
            _difference(row),
            _filled('{:.2f} x', row.get('relative_cost')),
            _filled('{:.2f}', row.get('energy_uj')),
        ]
        for row in ours
    ]
    for entry in sorted(published, key=lambda e: (e['data'], e['network'], -e['top1'])):
        name = [entry['method'], entry['data'], entry['network'], entry['T']]
        rows.append([*name, '', '', f'{entry["top1"]:.2f}', f'[{entry["source"]}]({entry["url"]})', *[''] * 4])
    return _table(LEADERBOARD, rows)


def _difference(row: Mapping[str, Any]) -> str:
    if not _is_number(row.get('difference')):
        return 'reference'
    return f'{row["difference"]:+.2f}' + _filled(
        ' ({:+.1f} to {:+.1f})', row.get('difference_low'), row.get('difference_high')
    )


def read_networks(index: Path, cards: Path) -> list[Entry]:
    """Read the entries of an index of weights, all of which have a card and a file.

    Raises:
        CheckpointError: the index names a shipped file that is gone, or has no entry for a card.
        DataError: an entry has no card.
        ConfigError: the index has a mistake.
    """
    entries = read_index(index)
    for card in sorted(cards.glob('*.md')):
        entry = entries.get(card.stem)
        if entry is None:
            raise CheckpointError(
                f'{card}: the index {index} has no weights of this name; publish them again, or remove the card'
            )
        if entry.shipped is not None and not entry.shipped.is_file():
            raise CheckpointError(
                f'{card}: its weights {entry.shipped} are gone; restore the file, or remove the card and the entry'
            )
    without = sorted(name for name in entries if not (cards / f'{name}.md').is_file())
    if without:
        raise DataError(f'{without[0]} has no card in {cards}; make it with a2sg-zoo publish --update')
    return [entries[name] for name in sorted(entries)]


def networks_table(entries: Iterable[Entry]) -> str:
    """Return the table of pretrained networks as Markdown."""
    rows = []
    for entry in entries:
        score, metric = SCORES[entry['task']]
        rows.append(
            [
                f'[{entry.name}](../model_cards/{entry.name}.md)',
                entry['task'],
                entry['data']['name'],
                entry['T'],
                f'{entry["parameters"] / 1e6:.2f}',
                f'{entry["size"] / 1e6:.1f}',
                metric,
                f'{entry["metrics"][score]:.{2 if entry["task"] == "language" else 1}f}',
            ]
        )
    return _table(NETWORKS, rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return markdown_table(header, [[str(cell) for cell in row] for row in rows])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _filled(template: str, *values: Any) -> str:
    """The template with the values; '' where one of them does not exist, as the interval of one seed."""
    return template.format(*values) if all(map(_is_number, values)) else ''


class ResultsTable(SphinxDirective):
    """A table that readers can sort, and filter by the columns in `filters`; see tables.js."""

    filters: Sequence[int] = ()

    def text(self) -> str:
        """The table as Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        try:
            parsed = self.parse_text_to_nodes(self.text())
        except A2SGError as error:
            raise self.error(str(error)) from error  # with `sphinx-build -W` it ends the build
        return [nodes.container('', *parsed, classes=['results', *(f'filter-{k}' for k in self.filters)])]


class Leaderboard(ResultsTable):
    """`{leaderboard} SUITE...` with the option `published`, a file beside the page."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = dict(published=directives.unchanged_required)
    filters = (1, 2, 3, 7)

    def text(self) -> str:
        results = []
        for name in self.arguments[0].split():
            file, suite = (
                ROOT / 'docs' / 'benchmarks' / name / 'report.json',
                ROOT / 'configs' / 'suites' / f'{name}.py',
            )
            self.env.note_dependency(str(file))
            self.env.note_dependency(str(suite))
            results += [dict(row, suite=name) for row in read_results(file, suite)]
        published = read_published(ROOT / 'docs' / self.options['published']) if 'published' in self.options else []
        return leaderboard(results, published)


class PretrainedNetworks(ResultsTable):
    """`{pretrained-networks}`: those of the index that the package ships."""

    filters = (1, 2)

    def text(self) -> str:
        return networks_table(read_networks(SHIPPED, ROOT / 'model_cards'))


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive('leaderboard', Leaderboard)
    app.add_directive('pretrained-networks', PretrainedNetworks)
    return dict(parallel_read_safe=True)
