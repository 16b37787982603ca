"""A report as one HTML page that needs nothing else: no network, no files beside it."""

import base64
from html import escape

from a2sg_zoo.benchmark.reports.figures import figures
from a2sg_zoo.benchmark.reports.tables import DASH, ENERGY, cells, columns, comma_separated, footnotes

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --page: #fff; --line: #d1d9e0; --band: #f4f6f8;
  --warn: #fff1d6; --link: #0a5ba8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --page: #15191e; --line: #39424c; --band: #1d2329; --warn: #41300c;
    --link: #6cb2f5 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto;
  padding: 1.5rem; max-width: 90rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
a { color: var(--link) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
thead th { vertical-align: bottom; white-space: normal; background: var(--band) }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--page) }
thead th:first-child { background: var(--band) }
tr.reference > * { background: var(--band) } tr.gap > * { background: var(--warn) }
th button { all: unset; cursor: pointer; color: var(--link) }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
th[aria-sort=ascending] button::after { content: " \\25B2" }
th[aria-sort=descending] button::after { content: " \\25BC" }
ul.notes { color: var(--soft); font-size: .86rem; padding-left: 1.2rem } ul.notes li.gap { color: var(--ink) }
figure { margin: 1.5rem 0 } figcaption { font-size: .9rem; color: var(--soft); margin-bottom: .3rem }
svg { width: 100%; height: auto }
"""

_SCRIPT = """
for (const button of document.querySelectorAll('th button')) button.onclick = () => {
  const head = button.parentElement, body = head.closest('table').tBodies[0], i = head.cellIndex;
  const up = head.getAttribute('aria-sort') !== 'ascending';
  for (const other of head.parentElement.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const key = row => row.cells[i].dataset.sort, missing = row => key(row) === '';
  const compare = (a, b) => i ? key(a) - key(b) : key(a).localeCompare(key(b));
  // what is missing stays at the end, whichever way the rest is sorted
  const rows = [...body.rows].sort((a, b) => missing(a) - missing(b) || (up ? 1 : -1) * compare(a, b));
  body.append(...rows);
};
"""


def page(report):
    """The page as a string."""
    data = base64.b64encode(comma_separated(report).encode()).decode()
    parts = [
        f'<h1>{escape(report.title)}</h1>',
        '<dl>',
        *(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in report.facts),
        '</dl>',
        f'<p><a download="report.csv" href="data:text/csv;base64,{data}">All figures, with all digits</a> (CSV)</p>',
    ]
    for i, table in enumerate(report.tables):
        parts += _section(table, report.sources, f'table{i + 1}')
    parts.append(f'<p>{escape(ENERGY)}</p>')
    if report.sources:
        parts += [
            '<h2>Published figures</h2>',
            '<p>They stand in a column of their own and enter no statistic.</p>',
            '<ol>',
            *(f'<li>{escape(source)}</li>' for source in report.sources),
            '</ol>',
        ]
    if report.notes:
        parts += ['<h2>Left out</h2>', '<ul>', *(f'<li>{escape(note)}</li>' for note in report.notes), '</ul>']
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(report.title)}'
        f'</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        + '\n'.join(parts)
        + f'\n<script>{_SCRIPT}</script>\n</body>\n</html>\n'
    )


def _section(table, sources, prefix):
    yield f'<h2>{escape(table.network)} on {escape(table.dataset)}</h2>'
    yield '<div class="scroll"><table>\n<thead><tr>'
    for title, *_ in columns(table, sources):
        yield f'<th scope="col"><button type="button">{escape(title)}</button></th>'
    yield '</tr></thead>\n<tbody>'
    for row in table.rows:
        kind = 'gap' if row['gaps'] else 'reference' if row['method'] == table.reference else ''
        yield f'<tr class="{kind}">' if kind else '<tr>'
        for i, (text, value) in enumerate(cells(row, table, sources)):
            # a figure that is not shown, as the interval of one seed, is missing when sorted, too
            sort = '' if value is None or text == DASH else escape(str(value))
            tag = 'th scope="row"' if i == 0 else 'td'
            yield f'<{tag} data-sort="{sort}">{escape(text)}</{tag.split()[0]}>'
        yield '</tr>'
    yield '</tbody>\n</table></div>\n<ul class="notes">'
    for note in footnotes(table):
        yield f'<li class="gap">{escape(note)}</li>' if note.startswith('†') else f'<li>{escape(note)}</li>'
    yield '</ul>'
    for caption, svg in figures(table, prefix):
        yield f'<figure><figcaption>{escape(caption)}</figcaption>\n{svg}</figure>'
