"""Result files tell when they are not what was written."""

import hashlib
import json
import math

import pytest

from a2sg_zoo.benchmark.suites.results import load_results, read_result, result_path, write_result
from a2sg_zoo.errors import DataError
from tests.benchmark.reports.make_results import result


def test_round_trip(tmp_path):
    written = [result(seed=seed) for seed in (0, 1)]
    for r in written:
        write_result(tmp_path, r)
    results, problems = load_results(tmp_path)
    assert not problems and [r['seed'] for r in results] == [0, 1]
    assert all({**a, 'checksum': ''} == b for a, b in zip(results, written))
    assert load_results(tmp_path / 'nothing') == ([], [])


DAMAGES = {
    'empty': lambda text: '',
    'cut short': lambda text: text[: len(text) // 2],
    'zeros': lambda text: text[:-1] + '\x00',
    'nested': lambda text: '[' * 100_000,
    'a figure': lambda text: text.replace('"top1": 4', '"top1": 9', 1),
    'the status': lambda text: text.replace('"finished"', '"failed"'),
    'the format': lambda text: text.replace('"format": 2', '"format": 3'),
    'a list': lambda text: '[1, 2]',
    'no keys': lambda text: json.dumps({'format': 2}),
    'a type': lambda text: text.replace('"seed": 0', '"seed": "0"'),
    'a table': lambda text: sealed({**json.loads(text), 'metrics': [48.0]}),
    'activity': lambda text: sealed({**json.loads(text), 'activity': 'high'}),
    'search': lambda text: sealed({**json.loads(text), 'search': [0.5]}),
    **{
        f'curves {curves}': lambda text, curves=curves: sealed({**json.loads(text), 'curves': curves})
        for curves in (
            dict(loss='abc'),
            dict(loss=[['1', 2.0]]),
            dict(metric=[[1]]),
            dict(metric=[[1, '2']]),
            dict(beta=[1]),
            dict(beta=dict(layer=[[1, None]])),
            dict(beta=dict(layer=[[1, ['2']]])),
        )
    },
}


def sealed(contents):
    """A result file with a right checksum."""
    contents = {key: value for key, value in contents.items() if key != 'checksum'}
    checksum = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return json.dumps({**contents, 'checksum': checksum})


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_and_never_loaded(tmp_path, damage):
    for seed in (0, 1):
        write_result(tmp_path, result(seed=seed))
    path = result_path(tmp_path, 'cnn-digits-tri-s0')
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    results, ((where, why),) = load_results(tmp_path)
    assert [r['seed'] for r in results] == [1]
    assert where == path and why and '\n' not in why
    with pytest.raises(DataError):
        read_result(path)


def test_a_folder_in_its_place(tmp_path):
    result_path(tmp_path, 'cnn-digits-tri-s0').mkdir(parents=True)
    with pytest.raises(DataError):
        read_result(result_path(tmp_path, 'cnn-digits-tri-s0'))


def test_results_of_format_1_are_read(tmp_path):
    """Older versions of a2sg_zoo named the hash of their source code in place of a version."""
    old = {**result(), 'format': 1, 'code': '1bd6c4dc77c6'}
    del old['version']
    path = result_path(tmp_path, 'cnn-digits-tri-s0')
    path.parent.mkdir(parents=True)
    path.write_text(sealed(old))
    ((found,), problems) = load_results(tmp_path)
    assert not problems and found['version'] == '1bd6c4dc77c6' and found['metrics'] == old['metrics']


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_null(tmp_path, value):
    curves = dict(loss=[[1, value]], metric=[], beta=dict(layer=[[1, [value, 1.0]]]))
    write_result(tmp_path, result(metrics=dict(top1=value, best_top1=3.0), curves=curves))
    path = result_path(tmp_path, 'cnn-digits-tri-s0')
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read_result(path)['metrics'] == dict(top1=None, best_top1=3.0)


def test_the_result_of_another_run(tmp_path):
    write_result(tmp_path, result(seed=0))
    result_path(tmp_path, 'cnn-digits-tri-s0').rename(result_path(tmp_path, 'cnn-digits-tri-s7'))
    results, ((path, _),) = load_results(tmp_path)
    assert not results and path == result_path(tmp_path, 'cnn-digits-tri-s7')
