"""The search for hyper-parameters: what it finds, and that it goes on where it was stopped."""

import json
import math

import pytest

from a2sg_zoo.benchmark.tuning.search import Search, space_of
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
    with pytest.raises(DataError, match='no trial in .* has a score'):
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
    with pytest.raises(DataError, match='trials.jsonl, line 2, was edited or damaged'):
        Search(SPACE, record)


@pytest.mark.parametrize(
    'space, message',
    [
        ({}, 'search.space is empty'),
        ({'a': dict(type='normal')}, "a: type must be one of uniform, loguniform, .*, got 'normal'"),
        ({'a': dict(type='uniform', low=1)}, 'a: uniform: .*high'),
        ({'a': dict(type='uniform', low=2.0, high=1.0)}, 'a: uniform: .*2.0 is not smaller than 1.0'),
        ({'a': dict(type='loguniform', low=0.0, high=1.0)}, 'a: loguniform: '),
        ({'a': dict(type='choice', options=[])}, 'a: choice: '),
    ],
)
def test_mistakes(space, message):
    with pytest.raises(ConfigError, match=message):
        space_of(space)


def test_wrong_mode(tmp_path):
    with pytest.raises(ConfigError, match="search.mode must be 'max' or 'min'"):
        Search(SPACE, tmp_path / 'x', mode='up')
