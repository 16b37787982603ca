"""The leaderboard and the table of pretrained networks: what they show, and the files that they refuse."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from a2sg_zoo.benchmark.reports.report import COLUMNS, OPTIONAL_COLUMNS
from a2sg_zoo.errors import CheckpointError, DataError
from a2sg_zoo.hub.index import SHIPPED

pytest.importorskip('sphinx', reason='needs the extra docs')
ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, SUITES = ROOT / 'docs' / 'benchmarks', ROOT / 'configs' / 'suites'
_spec = importlib.util.spec_from_file_location('leaderboard', ROOT / 'docs' / '_ext' / 'leaderboard.py')
board = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(board)


def edited(tmp_path, change, name='small_cpu', folder=None):
    """A copy of a committed report.json with a change."""
    contents = json.loads((BENCHMARKS / name / 'report.json').read_text())
    change(contents)
    file = tmp_path / (folder or name) / 'report.json'
    file.parent.mkdir()
    file.write_text(json.dumps(contents))
    return file


@pytest.mark.parametrize('name', ['small_cpu', 'a2sg_choices', 'time_sequences', 'time_events'])
def test_the_committed_files_agree(name):
    rows = json.loads((BENCHMARKS / name / 'report.json').read_text())['rows']
    with open(BENCHMARKS / name / 'report.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert len(rows) == len(table) > 0
    for row, line in zip(rows, table):
        assert set(COLUMNS) <= row.keys() == line.keys() <= set(chain(COLUMNS, *OPTIONAL_COLUMNS))
        assert {key: '' if value is None else str(value) for key, value in row.items()} == {
            key: str(float(value)) if isinstance(row[key], float) and value else value for key, value in line.items()
        }


def test_the_leaderboard_shows_measured_and_published_figures_in_columns_of_their_own():
    results = [
        dict(row, suite='small_cpu')
        for row in board.read_results(BENCHMARKS / 'small_cpu' / 'report.json', SUITES / 'small_cpu.py')
    ]
    published = board.read_published(BENCHMARKS / 'published.json')
    lines = board.leaderboard(results, published).splitlines()
    assert len(lines) == 2 + len(results) + len(published)
    rows = [[cell.strip() for cell in line.strip('|').split(' | ')] for line in lines[2:]]
    measured = {(row[0], row[1]): row for row in rows if row[4]}
    assert measured['tri', 'digits'][2:5] == ['resnet', '4', '97.00 ± 1.29']
    assert measured['tri', 'digits'][9] == 'reference' and 'small_cpu' in measured['tri', 'digits'][7]
    assert not any(row[6] for row in measured.values())
    (a2sg,) = (row for row in rows if row[0] == 'A2SG' and row[1] == 'cifar10')
    assert a2sg[4:6] == ['', ''] and a2sg[6] == '96.74' and '2606.11236' in a2sg[7] and not any(a2sg[8:])


def test_figures_that_do_not_exist_are_empty():
    """One seed has no deviation and no interval, and differences that are all alike have no interval."""
    row = dict.fromkeys(COLUMNS) | dict(suite='mine', dataset='d', network='n', T=4, mean=90.0, seeds_done=1)
    lines = board.leaderboard([dict(row, method='tri'), dict(row, method='box', difference=-1.5)], []).splitlines()[2:]
    (tri, box) = ([cell.strip() for cell in line.strip('|').split('|')] for line in lines)
    assert tri[4:6] == box[4:6] == ['90.00', ''] and (tri[9], box[9]) == ('reference', '-1.50')


def test_results_of_another_suite_are_refused(tmp_path):
    file = edited(tmp_path, lambda contents: None, 'a2sg_choices', folder='small_cpu')
    with pytest.raises(DataError, match=r'small_cpu/report\.json.*a2sg_choices'):
        board.read_results(file, SUITES / 'small_cpu.py')


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda c: c['rows'].pop(), 'a2sg_area'),
        (lambda c: c['rows'][0].update(method='mine'), 'mine'),
        (lambda c: c['rows'][0].update(mean=None), 'tri'),
        (lambda c: c['rows'][0].update(metric='top5'), 'top1'),
        (lambda c: c['rows'][0].update(seeds_done=2), 'tri on .* 2 of 5'),
        (lambda c: c.update(made_by='somebody'), 'made_by'),
        (lambda c: c.pop('rows'), 'report.json'),
    ],
)
def test_results_that_do_not_fit_their_suite_are_refused(tmp_path, change, named):
    file = edited(tmp_path, change)
    with pytest.raises(DataError, match=named) as refused:
        board.read_results(file, SUITES / 'small_cpu.py')
    assert str(file) in str(refused.value)


def test_damaged_and_missing_results_are_refused(tmp_path):
    file = edited(tmp_path, lambda contents: None)
    file.write_text(file.read_text()[:100])
    for path in (file, tmp_path / 'nothing' / 'report.json'):
        with pytest.raises(DataError, match='report.json'):
            board.read_results(path, SUITES / 'small_cpu.py')


def test_a_published_figure_without_a_source_is_refused(tmp_path):
    entries = json.loads((BENCHMARKS / 'published.json').read_text())
    entries[3]['source'] = ''
    file = tmp_path / 'published.json'
    file.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r'entry 3.*source'):
        board.read_published(file)


@pytest.fixture
def zoo(tmp_path):
    """A copy of the shipped index, weights and cards."""
    shutil.copy(SHIPPED, tmp_path)
    shutil.copytree(SHIPPED.parent / 'weights', tmp_path / 'weights')
    shutil.copytree(ROOT / 'model_cards', tmp_path / 'cards')
    return tmp_path


def test_the_table_of_networks(zoo):
    table = board.networks_table(board.read_networks(zoo / SHIPPED.name, zoo / 'cards'))
    assert '| [resnet_small_digits_tri](../model_cards/resnet_small_digits_tri.md) | classification |' in table
    assert len(table.splitlines()) == 2 + len(list((zoo / 'cards').glob('*.md')))


def test_a_card_whose_weights_are_gone_is_refused(zoo):
    next((zoo / 'weights').glob('resnet_small*')).unlink()
    with pytest.raises(CheckpointError, match='resnet_small_digits_tri.md'):
        board.read_networks(zoo / SHIPPED.name, zoo / 'cards')


def test_a_card_without_an_entry_and_an_entry_without_a_card_are_refused(zoo):
    shutil.copy(zoo / 'cards' / 'resnet_small_digits_tri.md', zoo / 'cards' / 'lost.md')
    with pytest.raises(CheckpointError, match='lost.md'):
        board.read_networks(zoo / SHIPPED.name, zoo / 'cards')
    (zoo / 'cards' / 'lost.md').unlink()
    (zoo / 'cards' / 'resnet_small_digits_tri.md').unlink()
    with pytest.raises(DataError, match='resnet_small_digits_tri'):
        board.read_networks(zoo / SHIPPED.name, zoo / 'cards')


def test_a_build_with_results_of_another_suite_ends_with_one_line(tmp_path):
    pytest.importorskip('myst_parser', reason='needs the extra docs')
    root = tmp_path / 'root'
    (root / 'docs').mkdir(parents=True)
    shutil.copytree(ROOT / 'configs', root / 'configs')
    edited(tmp_path, lambda contents: None, 'a2sg_choices', folder='small_cpu')
    shutil.copytree(tmp_path / 'small_cpu', root / 'docs' / 'benchmarks' / 'small_cpu')
    extension = (ROOT / 'docs' / '_ext' / 'leaderboard.py').read_text()
    place = 'Path(__file__).resolve().parents[2]'
    assert place in extension
    (root / 'docs' / 'leaderboard.py').write_text(extension.replace(place, f'Path({str(root)!r})'))
    (root / 'docs' / 'conf.py').write_text(
        "import sys\nsys.path.insert(0, '.')\nextensions = ['myst_parser', 'leaderboard']\n"
    )
    (root / 'docs' / 'index.md').write_text('# Title\n\n```{leaderboard} small_cpu\n```\n')
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '.', 'out']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    done = subprocess.run(command, cwd=root / 'docs', capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and 'Traceback' not in done.stderr and 'index.md:3' in done.stderr
    assert 'small_cpu/report.json' in done.stderr and 'a2sg_choices' in done.stderr
