"""The tables of a report as text: the cells that readers see, Markdown, CSV and JSON with all digits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, product
from typing import Any, NamedTuple

from a2sg_zoo.benchmark.reports.convergence import CONVERGED, Ranking
from a2sg_zoo.benchmark.reports.report import COLUMNS, OPTIONAL_COLUMNS, Report, Table
from a2sg_zoo.benchmark.reports.statistics import smallest_wilcoxon_p
from a2sg_zoo.utils.csv_text import csv_text
from a2sg_zoo.utils.markdown import markdown_table

DASH = '–'
# stands at every number that rests on fewer seeds than planned
MARK = ' †'
# stands at every method that has not converged
UNCONVERGED = ' ‡'

ENERGY = (
    'Energy: 4.6 pJ for a multiply-accumulate of layers with real-valued input + 0.9 pJ for a synaptic operation '
    '(SOP), SOPs = MACs x spikes of an input value and time step x T (32 bit, 45 nm; Horowitz, ISSCC 2014). It is an '
    'estimate of the arithmetic alone.'
)

Row = Mapping[str, Any]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        text: function row -> text of its cell.
        key: key of the row that the column sorts by.
        basis: runs that its numbers rest on: those of the method's 'seeds', of its 'pairs' with the reference, 'both',
            or None.
    """

    title: str
    text: Callable[[Row], str]
    key: str
    basis: str | None


class Cell(NamedTuple):
    """A cell of a table: its text, and the value that it sorts by."""

    text: str
    value: Any


class Section(NamedTuple):
    """A further table of a network on a data set.

    Attributes:
        title: its heading.
        columns: its columns.
        rows: its rows.
        notes: sentences that one must know to read it.
    """

    title: str
    columns: list[Column]
    rows: Sequence[Row]
    notes: list[str]


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """Return a number with a fixed count of decimals, or a dash for None.

    >>> number(2.345, 1, signed=True)
    '+2.3'
    """
    return DASH if value is None else f'{value:+.{digits}f}' if signed else f'{value:.{digits}f}'


def p_values(p: float | None, adjusted: float | None) -> str:
    """Return a p value with its adjusted value in brackets, or a dash for None.

    >>> p_values(0.0004, 0.012)
    '< 0.001 (0.012)'
    """
    return DASH if p is None else f'{_p_value(p)} ({_p_value(adjusted)})'


def interval(low: float | None, high: float | None, digits: int, signed: bool = False) -> str:
    """Return an interval, or a dash for None.

    >>> interval(-1.0, 2.0, 1, signed=True)
    '[-1.0, +2.0]'
    """
    return DASH if low is None else f'[{number(low, digits, signed)}, {number(high, digits, signed)}]'


def _p_value(p: float) -> str:
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def _seeds(row: Row) -> str:
    done, planned = row['seeds_done'], row['seeds_planned']
    return DASH if not planned else str(done) if done == planned else f'{done} of {planned}{MARK}'


def _large(value: float | None) -> str:
    """A count to three figures, in thousands (k), millions (M) or thousands of millions (G)."""
    if value is None:
        return DASH
    size, unit = next(((s, u) for s, u in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')) if value >= s), (1, ''))
    return f'{value / size:#.3g}'.rstrip('.') + unit


def score_columns(table: Table, sources: Sequence[str]) -> list[Column]:
    """Return the columns of the scores of a table, and of the tests against its reference.

    Args:
        table: the table.
        sources: sources of published figures; their column is left out if the table has none.
    """
    columns = [
        Column('method', lambda r: r['method'], 'method', None),
        Column('seeds', _seeds, 'seeds_done', None),
        Column(table.metric, lambda r: number(r['mean'], 2), 'mean', 'seeds'),
        Column('std', lambda r: number(r['std'], 2), 'std', 'seeds'),
        Column('95 % CI', lambda r: interval(r['ci_low'], r['ci_high'], 2), 'ci_low', 'seeds'),
        Column(f'difference to {table.reference}', lambda r: number(r['difference'], 2, True), 'difference', 'pairs'),
        Column(
            'its 95 % CI',
            lambda r: interval(r['difference_low'], r['difference_high'], 2, True),
            'difference_low',
            'pairs',
        ),
        Column('p, t test (Holm)', lambda r: p_values(r['t_p'], r['t_p_holm']), 't_p', 'pairs'),
        Column('p, Wilcoxon (Holm)', lambda r: p_values(r['wilcoxon_p'], r['wilcoxon_p_holm']), 'wilcoxon_p', 'pairs'),
    ]
    if any(row['published'] is not None for row in table.rows):
        columns.append(Column('published', lambda r: _published(r, sources), 'published', None))
    return columns


def cost_columns(table: Table) -> list[Column]:
    """Return the columns of what the methods of a table cost in training and in inference."""
    return [
        Column('method', lambda r: r['method'], 'method', None),
        Column('seeds', _seeds, 'seeds_done', None),
        Column(f'time of a step / {table.reference}', lambda r: number(r['relative_cost'], 2), 'relative_cost', 'both'),
        Column('peak memory, MB', lambda r: number(r['peak_memory_mb'], 0), 'peak_memory_mb', 'seeds'),
        Column('firing rate', lambda r: number(r['firing_rate'], 3), 'firing_rate', 'seeds'),
        Column('SOPs', lambda r: _large(r['sops']), 'sops', 'seeds'),
        Column('energy, µJ', lambda r: number(r['energy_uj'], 2), 'energy_uj', 'seeds'),
    ]


def sections(table: Table) -> list[Section]:
    """Return the tables on convergence and on widths, if the results have such figures."""
    found = []
    rows = [row for row in table.rows if row['seeds_done']]
    if any(row.get(key) is not None for row in rows for key in ('train_top1', 'val_loss')):
        found.append(Section('Convergence', _present(_gap_columns(table), rows), rows, _gap_notes(table)))
    rows = [row for row in rows if row.get('width_low') is not None]
    if rows:
        note = (
            'Width at the end of training: mean over layers and time steps, in units of v_threshold, and the shares on '
            'the two ends of the search space. On a bound: the share of all searches of the training that ended there.'
        )
        found.append(Section('Widths', _present(_width_columns(), rows), rows, [note]))
    return found


def _present(columns: Iterable[Column], rows: Sequence[Row]) -> list[Column]:
    """The columns with a figure in some row."""
    return [column for column in columns if any(row[column.key] is not None for row in rows)]


def _gap_columns(table: Table) -> list[Column]:
    def name(row):
        return row['method'] + UNCONVERGED * (not _converged(row))

    columns = [
        Column('method', name, 'method', None),
        Column('seeds', _seeds, 'seeds_done', None),
        Column('training top1', lambda r: number(r['train_top1'], 2), 'train_top1', 'seeds'),
        Column(f'gap: training top1 - {table.metric}', lambda r: number(r['train_gap'], 2), 'train_gap', 'seeds'),
        Column('its 95 % CI', lambda r: interval(r['train_gap_low'], r['train_gap_high'], 2), 'train_gap_low', 'seeds'),
        Column('loss on validation images', lambda r: number(r['val_loss'], 3), 'val_loss', 'seeds'),
        Column('change of place', lambda r: number(r['place_change'], 0), 'place_change', None),
    ]
    return columns


def _converged(row: Row) -> bool:
    return row.get('train_top1') is None or row['train_top1'] >= CONVERGED


def _gap_notes(table: Table) -> list[str]:
    notes = ['Scores and losses are those at the end of training. Those of training images are without augmentation.']
    if not all(map(_converged, table.rows)):
        notes.append(f'‡: not converged: the mean training accuracy is below {CONVERGED:g} %.')
    if table.ranking:
        notes.append(_ranking_note(table.ranking))
    return notes


def _ranking_note(ranking: Ranking) -> str:
    first, last = ranking.iterations[0], ranking.iterations[-1]
    largest = max(ranking.changes.values())
    movers = ', '.join(method for method, change in ranking.changes.items() if change == largest)
    change = f'the largest change of a place is {largest} ({movers})' if largest else 'no method changes its place'
    return (
        f'Does the ranking stand still? At the {len(ranking.iterations)} validations in the last third of training '
        f"(iterations {first:g} to {last:g}), the lowest Kendall's tau with the final ranking is "
        f'{number(ranking.tau, 2)}, and {change}.'
    )


def _width_columns() -> list[Column]:
    return [
        Column('method', lambda r: r['method'], 'method', None),
        Column('seeds', _seeds, 'seeds_done', None),
        Column('mean width', lambda r: number(r['width_mean'], 2), 'width_mean', 'seeds'),
        Column('on the lower end', lambda r: _percent(r['width_low']), 'width_low', 'seeds'),
        Column('on the upper end', lambda r: _percent(r['width_high']), 'width_high', 'seeds'),
        Column('spatial searches on a bound', lambda r: _percent(r['spatial_on_bound']), 'spatial_on_bound', 'seeds'),
        Column(
            'temporal searches on a bound', lambda r: _percent(r['temporal_on_bound']), 'temporal_on_bound', 'seeds'
        ),
    ]


def _percent(share: float | None) -> str:
    return DASH if share is None else f'{share:.0%}'


def _published(row: Row, sources: Sequence[str]) -> str:
    return DASH if row['published'] is None else f'{row["published"]:g} [{sources.index(row["published_source"]) + 1}]'


def cells(row: Row, columns: Iterable[Column]) -> list[Cell]:
    """Return the cells of a row. A number that rests on too few seeds ends in `MARK`."""
    short = dict(
        seeds=row['seeds_done'] < row['seeds_planned'],
        pairs=row['pairs'] is not None and row['pairs'] < row['seeds_planned'],
    )
    short['both'] = short['seeds'] or short['pairs']
    result = []
    for column in columns:
        text = column.text(row)
        result.append(Cell(text + MARK if text != DASH and short.get(column.basis) else text, row[column.key]))
    return result


def footnotes(table: Table) -> list[str]:
    """Return the sentences that one must know to read a table, and its gaps. Those of gaps begin with a dagger."""
    tested = [r for r in table.rows if r['wilcoxon_p'] is not None]
    notes = [
        f'Mean, sample standard deviation (n - 1) and t interval over seeds. Runs are paired with those of '
        f'{table.reference} by their seeds. The spread is that of seeds, on one test set.'
    ]
    if tested:
        notes.append(
            f'p values are two-sided. In brackets they are adjusted by Holm for the number of comparisons with '
            f'{table.reference} in this table, {len(tested)}, separately for each of the two tests.'
        )
        for pairs in sorted({r['pairs'] for r in tested}):
            least = smallest_wilcoxon_p(pairs)
            notes.append(
                f'With {pairs} pairs the smallest p that the Wilcoxon test can give is {least:.4g}'
                + (': it cannot reach 0.05, whatever the data.' if least > 0.05 else '.')
            )
    if any(r['seeds_done'] == 1 for r in table.rows):
        notes.append('One seed: no interval and no test.')
    if table.several_machines:
        notes.append('The runs are from several machines, so there are no times.')
    gaps = [f'{r["method"]}: {r["gaps"]}' for r in table.rows if r['gaps']]
    if gaps:
        notes.append(f'†: from fewer seeds than planned. {". ".join(gaps)}.')
    return notes


def markdown(report: Report) -> str:
    """Return a report as GitHub-flavoured Markdown."""
    lines = [f'# {_escaped(report.title)}', '']
    lines += [f'- {name}: {_escaped(text)}' for name, text in report.facts]
    for table in report.tables:
        lines += ['', f'## {_escaped(table.network)} on {_escaped(table.dataset)}', '']
        lines += [_markdown_table(table.rows, score_columns(table, report.sources))]
        lines += ['', *(f'- {_escaped(note)}' for note in footnotes(table)), '']
        lines += [_markdown_table(table.rows, cost_columns(table))]
        for section in sections(table):
            lines += ['', f'### {section.title}', '', _markdown_table(section.rows, section.columns)]
            lines += ['', *(f'- {_escaped(note)}' for note in section.notes)]
    lines += ['', _escaped(ENERGY)]
    if report.sources:
        lines += ['', '## Published figures', '', 'They stand in a column of their own and enter no statistic.', '']
        lines += [f'{i}. {_escaped(source)}' for i, source in enumerate(report.sources, 1)]
    if report.notes:
        lines += ['', '## Left out', '', *(f'- {_escaped(note)}' for note in report.notes)]
    return '\n'.join(lines) + '\n'


def _markdown_table(rows: Iterable[Row], columns: Sequence[Column]) -> str:
    texts = ([_escaped(cell.text) for cell in cells(row, columns)] for row in rows)
    return markdown_table([_escaped(column.title) for column in columns], texts, right=True)


def _escaped(text: str) -> str:
    """Text without Markdown. `markdown_table` escapes the bars, which are harmless elsewhere."""
    for character in '\\`*_<>[]':
        text = text.replace(character, f'\\{character}')
    return ' '.join(text.splitlines())


def comma_separated(report: Report) -> str:
    """Return all rows of all tables as CSV, with all digits. A field is empty where a figure does not exist."""
    rows = [row for table in report.tables for row in table.rows]
    columns = list(rows[0] if rows else COLUMNS)
    return csv_text(columns, ([row[key] for key in columns] for row in rows))


def csv_heads() -> list[str]:
    """Return every first line that `comma_separated` can give."""
    groups = product(*([(), tuple(group)] for group in OPTIONAL_COLUMNS))
    return [csv_text(list(chain(COLUMNS, *chosen)), []).rstrip('\n') for chosen in groups]


def all_rows(report: Report) -> dict[str, Any]:
    """Return the suite, the facts and all rows of all tables, for JSON; the documentation's leaderboard reads it."""
    facts = dict(report.facts)
    return dict(suite=facts['Suite'], facts=facts, rows=[row for table in report.tables for row in table.rows])
