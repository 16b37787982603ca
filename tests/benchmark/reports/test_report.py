"""The report: its figures against the results they come from, gaps that show, and pages that parse."""

import json
import re
import warnings

import numpy as np
import pytest
from scipy import stats

from a2sg_zoo.benchmark.reports.page import page
from a2sg_zoo.benchmark.reports.report import build_report
from a2sg_zoo.benchmark.reports.tables import (
    DASH,
    cells,
    comma_separated,
    cost_columns,
    footnotes,
    markdown,
    score_columns,
)
from a2sg_zoo.benchmark.suites.results import write_result
from a2sg_zoo.cli.report import main as command
from a2sg_zoo.errors import ConfigError, DataError

from .make_results import METHODS, PLAN, Page, result, suite, without


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def rows_of(report):
    return {row['method']: row for table in report.tables for row in table.rows}


def texts(report, method):
    """{column: text} of a method's row, in the first table."""
    table = report.tables[0]
    row = next(r for r in table.rows if r['method'] == method)
    columns = [*score_columns(table, report.sources), *cost_columns(table)]
    return {column.title: cell.text for column, cell in zip(columns, cells(row, columns), strict=True)}


def test_figures():
    results = suite()
    rows = rows_of(build_report(results, [], PLAN))
    values = {m: [r['metrics']['top1'] for r in results if r['method'] == m] for m in METHODS}
    for method, row in rows.items():
        assert (row['seeds_done'], row['seeds_planned'], row['gaps']) == (5, 5, '')
        assert row['mean'] == pytest.approx(np.mean(values[method]))
        assert row['std'] == pytest.approx(np.std(values[method], ddof=1))
        assert row['peak_memory_mb'] == pytest.approx(300.000004)
        assert row['firing_rate'] == pytest.approx(0.2) and row['sops'] == pytest.approx(1.7e6)
        assert row['energy_uj'] == pytest.approx(2.27)
    test = stats.ttest_rel(values['a2sg'], values['tri'])
    interval = test.confidence_interval(0.95)
    ours = rows['a2sg']
    assert ours['difference'] == pytest.approx(np.mean(values['a2sg']) - np.mean(values['tri']))
    assert (ours['difference_low'], ours['difference_high']) == pytest.approx((interval.low, interval.high))
    assert ours['t_p'] == pytest.approx(test.pvalue)
    assert ours['wilcoxon_p'] == pytest.approx(stats.wilcoxon(values['a2sg'], values['tri']).pvalue)
    p = sorted([ours['t_p'], rows['asy']['t_p']])
    assert sorted([ours['t_p_holm'], rows['asy']['t_p_holm']]) == pytest.approx([min(1, 2 * p[0]), max(2 * p[0], p[1])])
    # medians, of the third of five seeds
    assert ours['relative_cost'] == pytest.approx(0.0302 / 0.0202) and rows['tri']['relative_cost'] == 1
    assert rows['tri']['difference'] is None and rows['tri']['pairs'] is None


def test_other_reference_and_metric():
    rows = rows_of(build_report(suite(), [], PLAN, metric='best_top1', reference='asy'))
    assert rows['asy']['difference'] is None and rows['tri']['difference'] > 0
    assert rows['tri']['metric'] == 'best_top1'


WITHOUT_ONE = without(suite(), ('a2sg', 3))
# {what is wrong with the run: (its results, its problems, what the gap must name)}
GAPS = {
    'nothing': ([], [], 'seed 3: '),
    'a damaged file': ([], [('cnn-digits-a2sg-s3.json', 'cut short')], 'cut short'),
    'a file elsewhere': ([], [('/x/runs/cnn-digits-a2sg-s3.json', 'edited')], 'edited'),
    'failed': ([dict(status='failed', reason='out of memory', metrics={})], [], 'out of memory'),
    'another version': ([dict(version='0ther')], [], '0ther'),
    'other data': ([dict(data='d2')], [], 'data'),
    'another config': ([dict(hash='h2')], [], 'config'),
    'not finite': ([dict(metrics=dict(top1=float('nan')))], [], 'top1'),
    'no number': ([dict(metrics=dict(top1='48'))], [], 'top1'),
    'twice': ([{}, dict(metrics=dict(top1=99.0))], [], '2'),
}


@pytest.mark.parametrize('changes, problems, reason', GAPS.values(), ids=GAPS)
def test_gaps_are_counted_named_and_marked(changes, problems, reason):
    identities = {
        f'cnn-digits-{r["method"]}-s{r["seed"]}': {key: r[key] for key in ('hash', 'version', 'data')} for r in suite()
    }
    results = WITHOUT_ONE + [result(method='a2sg', seed=3, **change) for change in changes]
    report = build_report(results, problems, dict(PLAN, runs=identities))
    row = rows_of(report)['a2sg']
    expected = [result(method='a2sg', seed=s)['metrics']['top1'] for s in (0, 1, 2, 4)]
    assert (row['seeds_done'], row['pairs'], row['mean']) == (4, 4, pytest.approx(np.mean(expected)))
    assert row['gaps'].startswith('seed 3: ') and reason in row['gaps']
    shown = texts(report, 'a2sg')
    assert shown['seeds'] == '4 of 5 †'
    assert all(text.endswith('†') for title, text in shown.items() if title not in ('method', 'published'))
    assert not any('†' in text for text in texts(report, 'tri').values())
    text_of_page = page(report)
    for text in (markdown(report), text_of_page):
        assert '4 of 5 †' in text and reason in text
    assert reason in comma_separated(report)
    assert 'class="gap"' in text_of_page and dict(report.facts)['Runs'].startswith('14 of 15')


def test_gaps_of_the_reference_show_in_what_is_relative_to_it():
    report = build_report(without(suite(), ('tri', 0)), [], PLAN)
    shown = texts(report, 'a2sg')
    assert '†' not in shown['top1'] and shown['seeds'] == '5'
    assert all(
        shown[title].endswith('†') for title in ('difference to tri', 'p, t test (Holm)', 'time of a step / tri')
    )


def test_without_a_plan_the_newest_version_counts():
    """Plans of older versions of a2sg_zoo do not say which version is right."""
    results = [dict(r, version='2', started='2026-02-01T00:00:00') if r['method'] != 'asy' else r for r in suite()]
    report = build_report(results, [], PLAN)
    row = rows_of(report)['asy']
    assert row['seeds_done'] == 0 and row['mean'] is None and '(1 ' in row['gaps']
    assert set(texts(report, 'asy').values()) == {'asy', '0 of 5 †', DASH}
    assert rows_of(report)['a2sg']['seeds_done'] == 5
    assert dict(report.facts)['Version of results'] == '2 / 1'


def test_no_reference_run_left():
    report = build_report([r for r in suite() if r['method'] != 'tri'], [], PLAN)
    row = rows_of(report)['a2sg']
    assert row['mean'] is not None and row['difference'] is None and row['relative_cost'] is None
    page(report)


def test_one_seed_has_no_interval_and_no_test():
    report = build_report(suite(seeds=[0]), [], dict(PLAN, seeds=[0]))
    shown = texts(report, 'a2sg')
    assert shown['seeds'] == '1' and shown['difference to tri'] != DASH
    assert {shown[title] for title in ('std', '95 % CI', 'its 95 % CI', 'p, t test (Holm)', 'p, Wilcoxon (Holm)')} == {
        DASH
    }
    assert not any('Wilcoxon' in note for note in footnotes(report.tables[0]))
    assert len(footnotes(report.tables[0])) == 2  # what is shown, and that one seed has neither interval nor test


def test_no_differences_and_no_activity():
    results = [dict(r, metrics=dict(top1=50.0), activity=None, curves={}) for r in suite()]
    report = build_report(results, [], PLAN)
    row = rows_of(report)['a2sg']
    assert (row['difference'], row['t_p'], row['wilcoxon_p'], row['energy_uj']) == (0, 1, 1, None)
    for text in (markdown(report), page(report), comma_separated(report)):
        assert not re.search(r'\bnan\b', text, re.I)
    assert texts(report, 'a2sg')['energy, µJ'] == DASH


def test_the_limit_of_wilcoxon_and_the_correction_are_said():
    _, holm, limit = footnotes(build_report(suite(), [], PLAN).tables[0])
    assert 'Holm' in holm and ' 2,' in holm
    assert ' 5 ' in limit and '0.0625' in limit and '0.05' in limit.partition('0.0625')[2]
    plan = dict(PLAN, seeds=range(6))
    *_, limit = footnotes(build_report(suite(seeds=range(6)), [], plan).tables[0])
    assert '0.03125' in limit and '0.05' not in limit


def test_published_figures_stand_apart():
    plan = dict(
        PLAN,
        published=[
            dict(network='cnn', dataset='digits', method='a2sg', value=96.74, source='Paper A'),
            dict(network='cnn', dataset='digits', method='cpng', value=94.1, source='Paper B'),
            dict(network='resnet19', dataset='cifar10', method='lsg', value=95.17, source='Paper C'),
        ],
    )
    ours, plain = (build_report(suite(), [], p) for p in (plan, PLAN))
    for method, row in rows_of(plain).items():
        same = {key: value for key, value in rows_of(ours)[method].items() if not key.startswith('published')}
        assert same == {key: value for key, value in row.items() if not key.startswith('published')}
    assert texts(ours, 'a2sg')['published'] == '96.74 [1]' and texts(ours, 'tri')['published'] == DASH
    rest = texts(ours, 'cpng')
    assert (rest.pop('method'), rest.pop('published')) == ('cpng', '94.1 [2]') and set(rest.values()) == {DASH}
    assert ours.sources == ['Paper A', 'Paper B'] and any('Paper C' in note for note in ours.notes)
    assert '96.74' in page(ours) and 'Paper B' in page(ours) and 'Paper C' in markdown(ours)


def test_what_the_suite_does_not_name_is_left_out_and_said():
    extra = result(method='old', seed=0)
    report = build_report([*suite(), extra], [('cnn-digits-old-s9.json', 'cut short')], PLAN)
    assert 'old' not in rows_of(report) and len(report.notes) == 2
    assert rows_of(build_report([*suite(), extra], [], {}))['old']['gaps'] == 'seeds 1, 2, 3, 4: no result'


def test_tables_and_rows_of_which_no_run_was_begun_are_left_out_and_said():
    plan = dict(PLAN, datasets=[*PLAN['datasets'], 'other'])
    report = build_report(suite(), [], plan)
    assert [table.dataset for table in report.tables] == PLAN['datasets'] and len(report.notes) == 1
    assert 'cnn' in report.notes[0] and 'other' in report.notes[0]
    failed = dict(result(method='a2sg', seed=0), dataset='other', status='failed', reason='hung', metrics={})
    report = build_report([*suite(), failed], [], plan)
    assert [table.dataset for table in report.tables] == plan['datasets']
    assert [row['method'] for row in report.tables[1].rows] == ['tri', 'a2sg']
    assert len(report.notes) == 1 and 'asy' in report.notes[0] and 'other' in report.notes[0]


def test_facts():
    results = suite()
    results[0] = dict(results[0], versions=dict(python='3.11', torch='2.6'))
    facts = dict(build_report(results, [('x.json', 'cut short')], dict(PLAN, machine='2 cores')).facts)
    assert facts['Suite'] == 'small' and facts['Command'].endswith('small.py') and facts['Machine'] == '2 cores'
    assert facts['Versions'] == 'python 3.11; torch 2.15 / 2.6' and facts['Version of results'] == '1'
    assert facts['Runs'].startswith('15 of 15') and '1' in facts['Runs'].partition(';')[2]
    assert facts['Started'] == '2026-01-01T10:00:00 to 2026-01-05T10:00:00'


def test_the_machines_are_those_of_the_runs_and_times_of_several_are_not_compared():
    several = [dict(r, machine='1 GPU' if r['seed'] else '2 cores') for r in suite()]
    report = build_report(several, [], dict(PLAN, machine='another'))
    assert dict(report.facts)['Machine'] == '1 GPU / 2 cores'
    for row in rows_of(report).values():
        assert row['relative_cost'] is row['seconds_per_step'] is row['train_seconds'] is None
        assert row['peak_memory_mb'] and row['mean']
    assert any('machines' in note for note in footnotes(report.tables[0]))
    page(report)
    one = build_report([dict(r, machine='1 GPU') for r in suite()], [], dict(PLAN, machine='another'))
    assert dict(one.facts)['Machine'] == '1 GPU' and rows_of(one)['a2sg']['relative_cost'] > 1
    assert not any('machines' in note for note in footnotes(one.tables[0]))


def test_a_run_counts_under_any_name_of_its_suite():
    renamed = dict(PLAN, name='renamed')
    assert rows_of(build_report(suite(), [], renamed)) == rows_of(build_report(suite(), [], PLAN))


def test_errors():
    with pytest.raises(DataError):
        build_report([], [], PLAN)
    with pytest.raises(DataError, match='cnn-digits-tri-s0.json.*cut short'):
        build_report([], [('cnn-digits-tri-s0.json', 'cut short')], {})
    assert build_report([], [('cnn-digits-tri-s0.json', 'cut short')], PLAN).tables[0].rows[0]['seeds_done'] == 0
    with pytest.raises(ConfigError, match="'trri'.*tri, asy, a2sg"):
        build_report(suite(), [], PLAN, reference='trri')
    with pytest.raises(ConfigError, match="'mIoU'.*best_top1, top1"):
        build_report(suite(), [], PLAN, metric='mIoU')


def test_command_line(tmp_path, capsys):
    for r in without(suite(), ('a2sg', 1), ('asy', 2)):
        write_result(tmp_path, r)
    (tmp_path / 'runs' / 'cnn-digits-asy-s2.json').write_text('{"format": 1, "netw')
    (tmp_path / 'suite.json').write_text(json.dumps(PLAN))
    command([str(tmp_path), '--out', str(tmp_path / 'report')])
    assert '2 runs' in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / 'report').iterdir()) == [
        'report.csv',
        'report.html',
        'report.json',
        'report.md',
    ]
    text = (tmp_path / 'report' / 'report.md').read_text()
    assert 'seed 1: ' in text and 'seed 2: ' in text
    Page((tmp_path / 'report' / 'report.html').read_text())
    with pytest.raises(SystemExit) as stopped:
        command([str(tmp_path), '--reference', 'nobody'])
    assert stopped.value.code == 2 and "'nobody'" in capsys.readouterr().err
    figure = dict(network='cnn', dataset='digits', method='tri', value='x', source='A')
    published = [json.dumps(dict(published=[entry])) for entry in ({}, figure)]
    for damaged in ('{"name"', '[]', '{"seeds": 3}', '{"methods": ["tri", 3]}', '{"runs": []}', *published):
        (tmp_path / 'suite.json').write_text(damaged)
        with pytest.raises(SystemExit) as stopped:
            command([str(tmp_path)])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and 'suite.json' in error and len(error.strip().splitlines()) == 1


def test_a_folder_without_runs_is_named(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(SystemExit):
            command([str(folder)])
        error = capsys.readouterr().err
        assert f'{folder} ' in error and 'runs' in error


def test_only_its_own_files_are_replaced(tmp_path, capsys):
    for r in suite():
        write_result(tmp_path, r)
    command([str(tmp_path)])
    command([str(tmp_path)])  # its own are
    (tmp_path / 'report.md').write_text('my notes')
    (tmp_path / 'file').write_text('')
    for out in (tmp_path, tmp_path / 'file'):
        with pytest.raises(SystemExit) as stopped:
            command([str(tmp_path), '--out', str(out)])
        assert stopped.value.code == 2 and str(out) in capsys.readouterr().err
    assert (tmp_path / 'report.md').read_text() == 'my notes'
