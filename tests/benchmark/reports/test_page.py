"""Tables as CSV and Markdown, and the page with its pictures."""

import base64
import csv
import functools
import io
import re
import warnings
import xml.etree.ElementTree as ElementTree

import pytest

from a2sg_zoo.benchmark.reports.page import page
from a2sg_zoo.benchmark.reports.report import COLUMNS, build_report
from a2sg_zoo.benchmark.reports.tables import cells, comma_separated, cost_columns, markdown, score_columns

from .make_results import METHODS, PLAN, Page, result, suite, without


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


@functools.cache
def two_tables():
    """A report with a complete and an incomplete table, and its page."""
    results = [
        *suite(),
        *without(suite(dataset='cifar'), ('asy', 2)),
        result(dataset='cifar', method='asy', seed=2, status='failed', reason='<b>a | b</b> & _c_', metrics={}),
    ]
    report = build_report(
        results,
        [],
        dict(
            PLAN,
            datasets=['digits', 'cifar'],
            published=[dict(network='cnn', dataset='cifar', method='tri', value=90.5, source='<Paper> | 1')],
        ),
    )
    return report, page(report)


def test_csv_has_all_digits():
    report, _ = two_tables()
    rows = list(csv.DictReader(io.StringIO(comma_separated(report))))
    assert list(rows[0]) == list(COLUMNS) and len(rows) == 6
    for got, row in zip(rows, (row for table in report.tables for row in table.rows)):
        for key, value in row.items():
            assert got[key] == ('' if value is None else str(value))
            if isinstance(value, float):
                assert float(got[key]) == value


def test_markdown_tables_are_well_formed():
    report, _ = two_tables()
    lines = markdown(report).splitlines()
    blocks = [block.splitlines() for block in re.findall(r'(?:^\|.*\n)+', markdown(report), flags=re.M)]
    expected = [
        (table, columns)
        for table in report.tables
        for columns in (score_columns(table, report.sources), cost_columns(table))
    ]
    for block, (table, columns) in zip(blocks, expected, strict=True):
        head, rule, *body = [re.split(r'(?<!\\)\|', line)[1:-1] for line in block]
        assert all(re.fullmatch(r' ---:? ', cell) for cell in rule) and len(head) == len(rule) == len(columns)
        for row, line in zip(table.rows, body, strict=True):
            plain = [re.sub(r'\\(.)', r'\1', cell.strip()) for cell in line]
            assert plain == [cell.text for cell in cells(row, columns)]
    for table in report.tables:
        assert f'## {table.network} on {table.dataset}' in lines


def test_html_holds_every_figure():
    report, source = two_tables()
    parsed = Page(source)
    expected = [
        (table, columns)
        for table in report.tables
        for columns in (score_columns(table, report.sources), cost_columns(table))
    ]
    for (table, columns), (head, *body) in zip(expected, parsed.tables, strict=True):
        assert head == [column.title for column in columns]
        assert body == [[cell.text for cell in cells(row, columns)] for row in table.rows]
    # and all digits, in the file that it offers
    (link,) = [value for tag, name, value in parsed.attributes if (tag, name) == ('a', 'href')]
    assert base64.b64decode(link.removeprefix('data:text/csv;base64,')).decode() == comma_separated(report)
    for fact in [text for _, text in report.facts] + ['<Paper> | 1', '<b>a | b</b> & _c_']:
        assert fact in parsed.text
    # cells sort by the figures, not by their texts
    numbers = [value for tag, name, value in parsed.attributes if (tag, name) == ('td', 'data-sort')]
    assert all(value == '' or float(value) is not None for value in numbers)


def test_html_is_self_contained():
    _, source = two_tables()
    parsed = Page(source)
    for tag, name, value in parsed.attributes:
        if name in ('src', 'href', 'xlink:href', 'data', 'action'):
            assert value.startswith(('#', 'data:')), (tag, name, value)
    assert not re.search(r'@import|url\(\s*["\']?(?!#)', source)
    ids = [value for _, name, value in parsed.attributes if name == 'id']
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', source)
    assert used and set(used) <= set(ids)


def words_of(picture):
    """The texts in an SVG."""
    tree = ElementTree.fromstring(picture)
    assert 'currentColor' in picture and tree.get('role') == 'img' and tree.get('aria-label')
    return [''.join(text.itertext()) for text in tree.iter('{http://www.w3.org/2000/svg}text')]


def test_pictures():
    _, source = two_tables()
    pictures = re.findall(r'<svg.*?</svg>', source, flags=re.S)
    # for each table: scores beside costs, loss, metric, and widths
    assert len(pictures) == 8
    for scores, loss, metric, widths in (pictures[:4], pictures[4:]):
        for picture in (scores, loss, metric):
            assert all(any(word.startswith(m) for word in words_of(picture)) for m in METHODS)
        assert {'iteration', 'training loss'} <= set(words_of(loss))
        # of the one method that changes them
        assert {'a2sg', 't = 1', 't = 4', 'beta', '0.neuron', '1.neuron', '2.neuron'} <= set(words_of(widths))
        assert not {'tri', 'asy'} & set(words_of(widths)) and '<image' in widths
    assert 'asy (4 of 5 seeds)' in words_of(pictures[4])


def test_many_methods_are_told_apart_without_colour():
    """Each has its own row or panel with its name, and no two tables or pictures grow out of the page."""
    methods = ['tri', *(f'm{i}' for i in range(19))]
    results = [result(method=m, seed=s) for m in methods for s in (0, 1)]
    report = build_report(results, [], dict(PLAN, methods=methods, seeds=[0, 1]))
    source = page(report)
    scores, *curves = re.findall(r'<svg.*?</svg>', source, flags=re.S)
    assert [word for word in words_of(scores) if word in methods] == methods
    for picture in curves:
        assert [word for word in words_of(picture) if word in methods] == methods
        assert float(re.search(r'viewBox="0 0 ([\d.]+)', picture)[1]) < 800
    assert len(source) < 300_000
    assert all(len(head) <= 10 for head, *_ in Page(source).tables)


def test_curves_of_uneven_length():
    results = suite()
    results[0]['curves']['metric'].pop()
    results[1]['curves']['metric'] = []
    results[-1]['curves']['beta'] = {}
    page(build_report(results, [], PLAN))
