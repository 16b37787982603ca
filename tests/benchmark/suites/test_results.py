"""Result files tell when they are not what was written."""

import json

import pytest

from a2sg_zoo.benchmark.suites.results import load_results, result_path, write_result
from tests.benchmark.reports.make_results import result


def test_round_trip(tmp_path):
    written = [result(seed=seed) for seed in (0, 1)]
    for r in written:
        write_result(tmp_path, r)
    results, problems = load_results(tmp_path)
    assert not problems and [r['seed'] for r in results] == [0, 1]
    assert all({**a, 'checksum': ''} == b for a, b in zip(results, written))
    assert load_results(tmp_path / 'nothing') == ([], [])


@pytest.mark.parametrize(
    'damage, reason',
    [
        (lambda text: text[:0], 'cut short or damaged'),
        (lambda text: text[: len(text) // 2], 'cut short or damaged'),
        (lambda text: text.encode()[:-1].decode() + '\x00', 'cut short or damaged'),
        (lambda text: text.replace('"top1": 4', '"top1": 9', 1), 'was edited: its checksum does not fit'),
        (lambda text: text.replace('"finished"', '"failed"'), 'was edited'),
        (lambda text: text.replace('"format": 1', '"format": 2'), 'not a result of format 1'),
        (lambda text: '[1, 2]', 'not a result of format 1'),
        (lambda text: json.dumps({'format': 1}), 'not a result of format 1'),
    ],
)
def test_damage_is_named_and_never_loaded(tmp_path, damage, reason):
    for seed in (0, 1):
        write_result(tmp_path, result(seed=seed))
    path = result_path(tmp_path, 'cnn-digits-tri-s0')
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    results, ((where, why),) = load_results(tmp_path)
    assert [r['seed'] for r in results] == [1]
    assert where == path and reason in why


def test_the_result_of_another_run(tmp_path):
    write_result(tmp_path, result(seed=0))
    result_path(tmp_path, 'cnn-digits-tri-s0').rename(result_path(tmp_path, 'cnn-digits-tri-s7'))
    assert load_results(tmp_path)[1] == [
        (result_path(tmp_path, 'cnn-digits-tri-s7'), 'the file holds the result of another run')
    ]
