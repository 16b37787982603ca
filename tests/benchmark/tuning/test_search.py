"""The search for hyper-parameters: what it finds, and that a later process continues it."""

import json
import math

import optuna
import pytest

from a2sg_zoo.benchmark.tuning.search import Search, read_space
from a2sg_zoo.errors import ConfigError, DataError

SPACE = {
    'lr': dict(type='loguniform', low=1e-4, high=1.0),
    'policy.kind': dict(type='choice', options=['a', [1, 2], None]),
    'steps': dict(type='quniform', low=0, high=20, q=5),
    'width': dict(type='uniform', low=-1.0, high=1.0),
    'seed': dict(type='randint', low=3, high=6),
}


def score(values):
    return -((math.log10(values['lr']) + 2) ** 2) - (values['policy.kind'] != [1, 2]) - values['width'] ** 2


def run(search, trials, parallel=1):
    while len(search.finished) < trials:
        for number, values in search.ask(min(parallel, trials - len(search.finished))):
            search.tell(number, values, score(values))
    return search


def test_finds_the_best_and_more_often_near_it(tmp_path):
    search = run(Search(SPACE, tmp_path / 'trials.jsonl'), 60)
    best = search.best()
    assert best['score'] == max(entry['score'] for entry in search.finished) > -0.1
    assert best['values']['policy.kind'] == [1, 2] and abs(math.log10(best['values']['lr']) + 2) < 0.4
    scores = [entry['score'] for entry in search.finished]
    assert sum(scores[40:]) > sum(scores[:20])


def test_values_lie_in_the_space(tmp_path):
    search = run(Search(SPACE, tmp_path / 'trials.jsonl'), 30)
    for entry in search.finished:
        values = entry['values']
        assert values.keys() == SPACE.keys()
        assert 1e-4 <= values['lr'] <= 1 and values['policy.kind'] in ('a', [1, 2], None)
        assert values['steps'] in (0, 5, 10, 15, 20) and -1 <= values['width'] <= 1 and values['seed'] in (3, 4, 5)
        assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize('parallel', [1, 3])
def test_goes_on_as_if_nothing_had_happened(tmp_path, parallel):
    whole = run(Search(SPACE, tmp_path / 'whole.jsonl', seed=5), 15, parallel)
    run(Search(SPACE, tmp_path / 'parts.jsonl', seed=5), 6, parallel)
    assert run(Search(SPACE, tmp_path / 'parts.jsonl', seed=5), 15, parallel).finished == whole.finished
    assert run(Search(SPACE, tmp_path / 'other.jsonl', seed=6), 15, parallel).finished != whole.finished


def test_minimum(tmp_path):
    search = Search({'x': dict(type='uniform', low=-1.0, high=3.0)}, tmp_path / 'trials.jsonl', mode='min')
    for _ in range(40):
        ((number, values),) = search.ask()
        search.tell(number, values, (values['x'] - 2) ** 2)
    assert abs(search.best()['values']['x'] - 2) < 0.3


def test_failed_trials_count_and_do_not_win(tmp_path):
    search = Search(SPACE, tmp_path / 'trials.jsonl')
    for number, values in search.ask(3):
        search.tell(number, values, None, 'the process was killed by signal 9')
    with pytest.raises(DataError, match='trials.jsonl'):
        search.best()
    run(search, 8)
    assert search.best()['trial'] >= 3
    assert Search(SPACE, tmp_path / 'trials.jsonl').finished == search.finished


def test_a_line_cut_short_is_run_again(tmp_path):
    record = tmp_path / 'trials.jsonl'
    whole = run(Search(SPACE, record), 6).finished
    text = record.read_text()
    for keep in (text.rindex('{') + 20, text.rindex('\n', 0, -1) + 1):
        record.write_text(text[:keep])
        assert run(Search(SPACE, record), 6).finished == whole
        assert record.read_text() == text


def test_an_edited_line_is_named(tmp_path):
    record = tmp_path / 'trials.jsonl'
    run(Search(SPACE, record), 4)
    lines = record.read_text().splitlines()
    lines[1] = lines[1].replace('"score": -', '"score": ')
    record.write_text('\n'.join(lines) + '\n')
    with pytest.raises(DataError, match='trials.jsonl, line 2'):
        Search(SPACE, record)


@pytest.mark.parametrize('score', [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_failure(tmp_path, score):
    search = Search(SPACE, tmp_path / 'trials.jsonl')
    (number, values), (_, others) = search.ask(2)
    search.tell(number, values, score)
    search.tell(number + 1, others, -3.0)
    assert search.finished[0]['score'] is None and search.finished[0]['note']
    assert search.best()['trial'] == 1
    for line in (tmp_path / 'trials.jsonl').read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_the_best_of_as_many_trials_as_the_others_have(tmp_path):
    search = run(Search(SPACE, tmp_path / 'trials.jsonl'), 9)
    scores = [trial['score'] for trial in search.finished]
    for trials in (1, 4, 9):
        assert search.best(trials)['score'] == max(scores[:trials])


def test_trials_do_not_depend_on_the_order_of_groups(tmp_path):
    """The first, random ones: two at a time, or all at once."""
    once = [values for _, values in Search(SPACE, tmp_path / 'once').ask(4)]
    pairs = run(Search(SPACE, tmp_path / 'pairs'), 4, parallel=2)
    assert [trial['values'] for trial in pairs.finished] == once


@pytest.mark.parametrize(
    'change',
    [
        dict(lr=dict(type='loguniform', low=1e-9, high=1e-8)),
        dict(steps=dict(type='choice', options=['few', 'many'])),
        dict(more=dict(type='uniform', low=0, high=1)),
        {'policy.kind': dict(type='choice', options=['b'])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_record_of_another_space_is_refused(tmp_path, change):
    run(Search(SPACE, tmp_path / 'trials.jsonl'), 3)
    with pytest.raises(DataError, match='trials.jsonl'):
        Search({**SPACE, **change}, tmp_path / 'trials.jsonl')


def test_steps_that_do_not_divide_the_range():
    space = {'x': dict(type='quniform', low=0.1, high=1.0, q=0.4)}
    search = Search(space, 'none')
    found = {round(values['x'], 6) for _, values in search.ask(30)}
    assert found == {0.1, 0.5, 0.9}


def test_optuna_says_nothing(tmp_path, capfd):
    level = optuna.logging.get_verbosity()
    run(Search(SPACE, tmp_path / 'trials.jsonl'), 5)
    assert capfd.readouterr() == ('', '') and optuna.logging.get_verbosity() == level


@pytest.mark.parametrize(
    'space, named',
    [
        ({}, r'search\.space'),
        ([], r'search\.space'),
        ({'a': dict(type='normal')}, "a: .*'normal'"),
        ({'a': 'uniform'}, 'a: '),
        ({'a': dict(type='uniform', low=1)}, 'a: uniform: .*high'),
        ({'a': dict(type='uniform', low=1, high=2, mean=3)}, 'a: uniform: .*mean'),
        ({'a': dict(type='uniform', low=2.0, high=1.0)}, 'a: uniform: .*2.0'),
        ({'a': dict(type='uniform', low='x', high=1.0)}, 'a: uniform: '),
        ({'a': dict(type='loguniform', low=0.0, high=1.0)}, 'a: loguniform: '),
        ({'a': dict(type='quniform', low=0.0, high=1.0, q=0)}, 'a: quniform: '),
        ({'a': dict(type='randint', low=3, high=3)}, 'a: randint: '),
        ({'a': dict(type='choice', options=[])}, 'a: choice: '),
    ],
)
def test_mistakes(space, named):
    with pytest.raises(ConfigError, match=named):
        read_space(space)


def test_wrong_mode(tmp_path):
    with pytest.raises(ConfigError, match="search.mode.*'up'"):
        Search(SPACE, tmp_path / 'x', mode='up')
