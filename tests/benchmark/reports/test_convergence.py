"""Reports that judge runs at convergence: gaps, rankings and widths with answers that are known by hand."""

import csv
import io
import json
import re
import warnings
import xml.etree.ElementTree as ElementTree

import pytest
from scipy import stats

from a2sg_zoo.benchmark.reports.convergence import GAP_COLUMNS, curve_metric, learning_curves, ranking
from a2sg_zoo.benchmark.reports.page import page
from a2sg_zoo.benchmark.reports.report import COLUMNS, build_report
from a2sg_zoo.benchmark.reports.tables import DASH, all_rows, cells, comma_separated, markdown, sections
from a2sg_zoo.benchmark.suites.results import write_result
from a2sg_zoo.cli.report import main as command

from .make_results import PLAN, Page, result, suite

STEPS = (10, 20, 30, 40, 50, 60)
# scores at each validation; from the 40th iteration on, the ranking is d c b a, d b c a, d c b a
SCORES = dict(
    a=(40, 30, 20, 10, 10, 10), b=(30, 30, 30, 20, 31, 20), c=(20, 30, 40, 30, 30, 30), d=(10, 30, 50, 40, 40, 40)
)
TRAINED = dict(a=94.0, b=95.0, c=100.0, d=99.0)
WIDTHS = dict(low=0.25, high=0.5, mean=1.25, spatial_on_bound=0.4, temporal_on_bound=None)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def converged(method, seed, **changes):
    """The result of a run with a known curve; seeds 0 and 1 are 1 below and above the mean, in training 0.5."""
    sign = 2 * seed - 1
    curve = [[x, y + sign] for x, y in zip(STEPS, SCORES[method])]
    top1 = curve[-1][1]
    metrics = dict(
        top1=top1, top5=90.0, train_top1=TRAINED[method] + sign / 2, val_loss=0.5 + seed, best_top1=max(SCORES[method])
    )
    made = result(method=method, seed=seed, metrics=metrics, **changes)
    made['curves']['metric'] = curve
    return made


def report_of(*results, **changes):
    plan = dict(PLAN, methods=list(SCORES), seeds=[0, 1], **changes)
    return build_report(list(results), [], plan, reference='a')


def all_runs():
    return [converged(method, seed) for method in SCORES for seed in (0, 1)]


def rows_of(report):
    return {row['method']: row for table in report.tables for row in table.rows}


def shown(report, title):
    """{method: {column: text}} of a section."""
    (section,) = (s for s in sections(report.tables[0]) if s.title == title)
    return {
        row['method']: {c.title: cell.text for c, cell in zip(section.columns, cells(row, section.columns))}
        for row in section.rows
    }, section.notes


def test_gap():
    rows = rows_of(report_of(*all_runs()))
    # of the seeds: 94 - 10 + 0.5 and 94 - 10 - 0.5
    assert (rows['a']['train_top1'], rows['a']['train_gap'], rows['a']['val_loss']) == (94.0, 84.0, 1.0)
    interval = stats.ttest_1samp([84.5, 83.5], 0).confidence_interval(0.95)
    assert (rows['a']['train_gap_low'], rows['a']['train_gap_high']) == pytest.approx((interval.low, interval.high))
    assert [rows[m]['train_gap'] for m in 'bcd'] == [75.0, 70.0, 59.0]


def test_methods_that_have_not_converged_are_marked():
    report = report_of(*all_runs())
    texts, notes = shown(report, 'Convergence')
    assert [row['method'] for row in texts.values()] == ['a ‡', 'b', 'c', 'd']
    assert texts['a']['training top1'] == '94.00' and texts['a']['loss on validation images'] == '1.000'
    assert texts['a']['gap: training top1 - top1'] == '84.00' and texts['a']['its 95 % CI'] == '[77.65, 90.35]'
    (note,) = (note for note in notes if '‡' in note)
    assert '95 %' in note
    everyone = [dict(r, metrics=dict(r['metrics'], train_top1=95.0)) for r in all_runs()]
    texts, notes = shown(report_of(*everyone), 'Convergence')
    assert not any('‡' in text for row in texts.values() for text in row.values()) and not any('‡' in n for n in notes)


def test_the_ranking_by_hand():
    found = ranking(learning_curves({m: {s: converged(m, s) for s in (0, 1)} for m in SCORES}))
    # one pair of six changes its order at iteration 50: tau = (5 - 1) / 6
    assert found.iterations == [40, 50, 60]
    assert found.tau == pytest.approx(4 / 6) and found.changes == dict(a=0, b=1, c=1, d=0)


def test_the_ranking_in_all_forms():
    report = report_of(*all_runs())
    rows = rows_of(report)
    assert [rows[m]['place_change'] for m in 'abcd'] == [0, 1, 1, 0]
    assert [rows[m]['ranking_tau'] for m in 'abcd'] == pytest.approx([2 / 3] * 4)
    for text in (markdown(report), page(report)):
        (line,) = (line for line in text.splitlines() if 'ranking stand still?' in line)
        assert '0.67' in line and re.search(r'\b1 \(b, c\)', line) and '40 to 60' in line
    assert all_rows(report)['rows'][1]['place_change'] == 1
    first = next(csv.DictReader(io.StringIO(comma_separated(report))))
    assert list(first) == [*COLUMNS, *GAP_COLUMNS]
    assert float(first['train_gap']) == 84 and float(first['ranking_tau']) == rows['a']['ranking_tau']


def curves(**scores):
    return {method: [(x, y, y, y) for x, y in zip(STEPS, ys)] for method, ys in scores.items()}


def test_rankings_that_cannot_be_judged():
    assert ranking({}) is None
    assert ranking(curves(**{m: SCORES[m] for m in 'abc'})) is None
    # the last third has the final validation alone
    assert ranking({m: [(10, 1.0, 1, 1), (60, 2.0, 2, 2)] for m in 'abcd'}) is None
    same = ranking(curves(**dict.fromkeys('abcd', (1, 1, 1, 1, 1, 1))))
    assert same.tau is None and set(same.changes.values()) == {0}


def test_ties_share_the_better_place():
    # tied at the second place before the end, where they are second and third
    found = ranking(curves(a=[4] * 6, b=[3] * 6, c=[3, 3, 3, 3, 3, 2], d=[1] * 6))
    assert found.changes == dict(a=0, b=0, c=1, d=0)
    assert found.tau == pytest.approx(stats.kendalltau([4, 3, 3, 1], [4, 3, 2, 1]).statistic)


def test_only_validations_that_all_methods_have():
    some = curves(**SCORES)
    some['d'] = [point for point in some['d'] if point[0] != 50]
    found = ranking(some)
    assert found.iterations == [40, 60] and found.tau == 1


def test_results_without_training_scores_have_the_report_that_they_had():
    report = build_report(
        suite(methods=['tri', 'asy', 'a2sg', 'm']), [], dict(PLAN, methods=['tri', 'asy', 'a2sg', 'm'])
    )
    assert all(list(row) == list(COLUMNS) for row in report.tables[0].rows)
    assert comma_separated(report).splitlines()[0] == ','.join(COLUMNS)
    assert sections(report.tables[0]) == [] and report.tables[0].ranking is None
    assert '###' not in markdown(report) and '<h3>' not in page(report)
    assert len(re.findall('<svg', page(report))) == 4


def test_a_method_with_a_run_that_lacks_them():
    """For example a run of an older version: its method has no mean over the seeds."""
    old = result(method='b', seed=0)
    report = report_of(*(old if (r['method'], r['seed']) == ('b', 0) else r for r in all_runs()))
    texts, _ = shown(report, 'Convergence')
    assert {texts['b'][title] for title in ('training top1', 'its 95 % CI', 'loss on validation images')} == {DASH}
    assert texts['a']['training top1'] == '94.00'
    page(report)


def test_a_gap_needs_the_same_score():
    report = build_report(all_runs(), [], dict(PLAN, methods=list(SCORES), seeds=[0, 1]), 'top5', 'a')
    texts, _ = shown(report, 'Convergence')
    assert texts['c']['training top1'] == '100.00' and not any(title.startswith('gap') for title in texts['c'])
    best = build_report(all_runs(), [], dict(PLAN, methods=list(SCORES), seeds=[0, 1]), 'best_top1', 'a')
    assert rows_of(best)['a']['train_gap'] == 94 - 40


def test_one_seed_has_no_interval():
    runs = [r for r in all_runs() if r['seed'] == 0]
    texts, _ = shown(report_of(*runs), 'Convergence')
    assert texts['c']['gap: training top1 - top1'] == '70.50 †' and 'its 95 % CI' not in texts['c']


def test_the_metric_of_a_curve():
    assert curve_metric({'tri': {0: dict(metrics=dict(mIoU=1.0, aAcc=2.0, best_mIoU=3.0))}}) == 'mIoU'
    assert curve_metric({'tri': {}}) == 'metric'


def test_widths_of_the_methods_that_search():
    runs = [dict(r, search=dict(WIDTHS, low=r['seed'] / 2)) if r['method'] == 'd' else r for r in all_runs()]
    report = report_of(*runs)
    texts, notes = shown(report, 'Widths')
    assert texts == {
        'd': {
            'method': 'd',
            'seeds': '2',
            'mean width': '1.25',
            'on the lower end': '25%',
            'on the upper end': '50%',
            'spatial searches on a bound': '40%',
        }
    }
    assert len(notes) == 1 and rows_of(report)['d']['width_low'] == 0.25
    assert rows_of(report)['a']['width_low'] is None
    assert '### Widths' in markdown(report)


def test_page_and_picture():
    report = report_of(*(dict(r, search=WIDTHS) for r in all_runs()))
    parsed = Page(page(report))
    assert {'Convergence', 'Widths'} <= set(parsed.text.split('\n'))
    for section, (head, *body) in zip(sections(report.tables[0]), parsed.tables[2:], strict=True):
        assert head == [column.title for column in section.columns]
        assert body == [[cell.text for cell in cells(row, section.columns)] for row in section.rows]
    pictures = re.findall(r'<svg.*?</svg>', page(report), flags=re.S)
    tree = ElementTree.fromstring(pictures[1])
    words = [''.join(text.itertext()) for text in tree.iter('{http://www.w3.org/2000/svg}text')]
    # by their scores at the end, the best one on top
    assert [word for word in words if word in SCORES] == ['a', 'b', 'c', 'd'] and 'iteration' in words
    assert tree.get('role') == 'img' and 'currentColor' in pictures[1]


def test_command_line(tmp_path):
    for r in all_runs():
        write_result(tmp_path, dict(r, search=WIDTHS))
    (tmp_path / 'suite.json').write_text(json.dumps(dict(PLAN, methods=list(SCORES), seeds=[0, 1], reference='a')))
    command([str(tmp_path)])
    row = json.loads((tmp_path / 'report.json').read_text())['rows'][0]
    assert (row['train_top1'], row['train_gap'], row['width_high']) == (94.0, 84.0, 0.5)
    text = (tmp_path / 'report.md').read_text()
    assert '### Convergence' in text and '| a ‡ |' in text


def test_a_report_with_other_columns_takes_the_place_of_the_old_one(tmp_path, capsys):
    """A suite that goes on: first no run measured itself in training, then some did, then some searched widths, too."""
    (tmp_path / 'suite.json').write_text(json.dumps(dict(PLAN, methods=list(SCORES), seeds=[0, 1], reference='a')))
    for seed, changes in ((0, dict(metrics=dict(top1=1.0))), (0, {}), (1, dict(search=WIDTHS)), (1, {})):
        for method in SCORES:
            write_result(tmp_path, {**converged(method, seed), **changes})
        command([str(tmp_path)])
    (tmp_path / 'report.csv').write_text('method,age\n')
    with pytest.raises(SystemExit):
        command([str(tmp_path)])
    assert 'report.csv' in capsys.readouterr().err and (tmp_path / 'report.csv').read_text() == 'method,age\n'
