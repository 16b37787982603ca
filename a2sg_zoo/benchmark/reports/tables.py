"""A report's tables as text: the cells that readers see, Markdown, and CSV with all digits."""

import csv
import io

from a2sg_zoo.benchmark.reports.report import COLUMNS
from a2sg_zoo.benchmark.reports.statistics import smallest_wilcoxon_p

DASH = '–'
# beside every number that fewer seeds than planned stand behind
MARK = ' †'

ENERGY = (
    'Energy: 4.6 pJ a multiply-accumulate of layers with real-valued input + 0.9 pJ a synaptic operation (SOP), '
    'SOPs = MACs x spikes an input value and time step x T (32 bit, 45 nm; Horowitz, ISSCC 2014). It is an '
    'estimate of arithmetic alone.'
)


def number(value, digits, signed=False):
    """A dash for None."""
    return DASH if value is None else f'{value:+.{digits}f}' if signed else f'{value:.{digits}f}'


def p_value(p):
    return DASH if p is None else '< 0.001' if p < 0.001 else f'{p:.3f}'


def interval(low, high, digits, signed=False):
    return DASH if low is None else f'[{number(low, digits, signed)}, {number(high, digits, signed)}]'


def _seeds(row):
    done, planned = row['seeds_done'], row['seeds_planned']
    return DASH if not planned else str(done) if done == planned else f'{done} of {planned}{MARK}'


def _large(value):
    """To three figures, in thousands, millions or thousands of millions."""
    if value is None:
        return DASH
    size, unit = next(((s, u) for s, u in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')) if value >= s), (1, ''))
    return f'{value / size:#.3g}'.rstrip('.') + unit


def columns(table, sources):
    """[(title, text of a cell, key that the column sorts by, what it rests on: None, 'seeds', 'pairs' or 'both')]."""
    reference = table.reference
    return [
        ('method', lambda r: r['method'], 'method', None),
        ('seeds', _seeds, 'seeds_done', None),
        (table.metric, lambda r: number(r['mean'], 2), 'mean', 'seeds'),
        ('std', lambda r: number(r['std'], 2), 'std', 'seeds'),
        ('95 % CI', lambda r: interval(r['ci_low'], r['ci_high'], 2), 'ci_low', 'seeds'),
        (f'difference to {reference}', lambda r: number(r['difference'], 2, True), 'difference', 'pairs'),
        (
            'its 95 % CI',
            lambda r: interval(r['difference_low'], r['difference_high'], 2, True),
            'difference_low',
            'pairs',
        ),
        ('p, t test', lambda r: p_value(r['t_p']), 't_p', 'pairs'),
        ('p, t test (Holm)', lambda r: p_value(r['t_p_holm']), 't_p_holm', 'pairs'),
        ('p, Wilcoxon', lambda r: p_value(r['wilcoxon_p']), 'wilcoxon_p', 'pairs'),
        ('p, Wilcoxon (Holm)', lambda r: p_value(r['wilcoxon_p_holm']), 'wilcoxon_p_holm', 'pairs'),
        (f'time a step / {reference}', lambda r: number(r['relative_cost'], 2), 'relative_cost', 'both'),
        ('peak memory, MB', lambda r: number(r['peak_memory_mb'], 0), 'peak_memory_mb', 'seeds'),
        ('firing rate', lambda r: number(r['firing_rate'], 3), 'firing_rate', 'seeds'),
        ('SOPs', lambda r: _large(r['sops']), 'sops', 'seeds'),
        ('energy, µJ', lambda r: number(r['energy_uj'], 2), 'energy_uj', 'seeds'),
        (
            'published',
            lambda r: (
                DASH if r['published'] is None else f'{r["published"]:g} [{sources.index(r["published_source"]) + 1}]'
            ),
            'published',
            None,
        ),
    ]


def cells(row, table, sources):
    """[(text, value to sort by)] of a row; numbers that too few seeds stand behind carry `MARK`."""
    short = dict(
        seeds=row['seeds_done'] < row['seeds_planned'],
        pairs=row['pairs'] is not None and row['pairs'] < row['seeds_planned'],
    )
    short['both'] = short['seeds'] or short['pairs']
    result = []
    for _, text, key, basis in columns(table, sources):
        text = text(row)
        result.append((text + MARK if text != DASH and short.get(basis) else text, row[key]))
    return result


def footnotes(table):
    """What one has to know to read a table, and its gaps; a list of sentences."""
    tested = [r for r in table.rows if r['wilcoxon_p'] is not None]
    notes = [
        f'Mean, sample standard deviation (n - 1) and t interval over seeds; runs with the same seed are paired '
        f'with those of {table.reference}. The spread is that of seeds, on one test set.'
    ]
    if tested:
        notes.append(
            f'p values are two-sided. "Holm" adjusts them for the {len(tested)} comparisons of this table '
            f'with {table.reference}, separately for each of the two tests.'
        )
        for pairs in sorted({r['pairs'] for r in tested}):
            least = smallest_wilcoxon_p(pairs)
            notes.append(
                f'With {pairs} pairs the smallest p that the Wilcoxon test can give is {least:.4g}'
                + (': it cannot reach 0.05, whatever the data.' if least > 0.05 else '.')
            )
    if any(r['seeds_done'] == 1 for r in table.rows):
        notes.append('One seed: no interval and no test.')
    gaps = [f'{r["method"]}: {r["gaps"]}' for r in table.rows if r['gaps']]
    if gaps:
        notes.append(f'†: from fewer seeds than planned. {". ".join(gaps)}.')
    return notes


def markdown(report):
    """The report as GitHub-flavoured Markdown."""
    lines = [f'# {_escaped(report.title)}', '']
    lines += [f'- {name}: {_escaped(text)}' for name, text in report.facts]
    for table in report.tables:
        heads = columns(table, report.sources)
        lines += [
            '',
            f'## {_escaped(table.network)} on {_escaped(table.dataset)}',
            '',
            _line(title for title, *_ in heads),
            _line(['---'] + ['---:'] * (len(heads) - 1)),
        ]
        lines += [_line(text for text, _ in cells(row, table, report.sources)) for row in table.rows]
        lines += ['', *(f'- {_escaped(note)}' for note in footnotes(table))]
    lines += ['', _escaped(ENERGY)]
    if report.sources:
        lines += ['', '## Published figures', '', 'They stand in a column of their own and enter no statistic.', '']
        lines += [f'{i}. {_escaped(source)}' for i, source in enumerate(report.sources, 1)]
    if report.notes:
        lines += ['', '## Left out', '', *(f'- {_escaped(note)}' for note in report.notes)]
    return '\n'.join(lines) + '\n'


def _line(texts):
    return f'| {" | ".join(_escaped(text) for text in texts)} |'


def _escaped(text):
    for character in '\\`*_<>|[]':
        text = str(text).replace(character, f'\\{character}')
    return text


def comma_separated(report):
    """All rows of all tables with all digits; an empty field where a figure does not exist."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(COLUMNS), lineterminator='\n')
    writer.writeheader()
    for table in report.tables:
        writer.writerows(table.rows)
    return file.getvalue()
