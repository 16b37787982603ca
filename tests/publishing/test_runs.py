"""What a run leaves: its notes, and one log out of many, after kills, other runs and a clock that was set back."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.publishing.runs import find_published_checkpoint, read_curves, read_notes


def write_log(folder, name, steps, tag, every=1):
    """A log of the iterations `steps`, with an evaluation at every tenth; the last line was cut short by a kill."""
    lines = []
    for i in steps:
        if i % every == 0:
            lines.append(json.dumps({'iter': i, 'step': i, 'loss': 100.0 - i, 'start': tag, 'layer/beta': 1.0}))
        if i % 10 == 0:
            lines.append(json.dumps({'step': i, 'top1': float(i)}))
    path = folder / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join([*lines, '{"iter": 4, "st']))


def curves(folder, start_iter):
    """([(iteration, number of the start that logged it)], iterations of evaluations)"""
    records = [json.loads(line) for line in read_curves(folder, start_iter).splitlines()]
    assert not any('/' in key for record in records for key in record)
    return [(r['iter'], r['start']) for r in records if 'iter' in r], [r['step'] for r in records if 'top1' in r]


def test_a_run_that_was_killed_and_resumed(tmp_path):
    write_log(tmp_path, '0_a', range(1, 24), 0)
    write_log(tmp_path, '1_b', range(15, 31), 1)
    steps, evaluations = curves(tmp_path, 14)
    assert steps == [(i, 0) for i in range(1, 15)] + [(i, 1) for i in range(15, 31)] and evaluations == [10, 20, 30]


def test_another_run_in_the_same_folder(tmp_path):
    write_log(tmp_path, '0_old', range(1, 50), 0)
    write_log(tmp_path, '1_old', range(31, 90), 1)
    write_log(tmp_path, '2_own', range(1, 24), 2)
    write_log(tmp_path, '3_own', range(15, 31), 3)
    steps, evaluations = curves(tmp_path, 14)
    assert steps == [(i, 2) for i in range(1, 15)] + [(i, 3) for i in range(15, 31)] and evaluations == [10, 20, 30]
    shutil.rmtree(tmp_path / '3_own')
    assert curves(tmp_path, 0)[0] == [(i, 2) for i in range(1, 24)]


def test_a_start_that_came_to_nothing(tmp_path):
    write_log(tmp_path, '0_a', range(1, 24), 0)
    write_log(tmp_path, '1_b', range(15, 17), 1)
    write_log(tmp_path, '2_c', [], 2)
    write_log(tmp_path, '3_d', range(15, 31), 3)
    assert curves(tmp_path, 14)[0] == [(i, 0) for i in range(1, 15)] + [(i, 3) for i in range(15, 31)]


def test_a_clock_that_was_set_back_at_resume(tmp_path):
    """The published curve ended at 14 of 30."""
    write_log(tmp_path, '20260611', range(1, 24), 0)
    write_log(tmp_path, '20260601', range(15, 31), 1)
    steps, evaluations = curves(tmp_path, 14)
    assert steps == [(i, 0) for i in range(1, 15)] + [(i, 1) for i in range(15, 31)] and evaluations == [10, 20, 30]


def test_a_log_of_every_tenth_iteration(tmp_path):
    write_log(tmp_path, '0_a', range(1, 18), 0, every=10)
    write_log(tmp_path, '1_b', range(15, 41), 1, every=10)
    assert curves(tmp_path, 14) == ([(10, 0), (20, 1), (30, 1), (40, 1)], [10, 20, 30, 40])


@st.composite
def starts(draw):
    """[(first, last) iteration of each start], checkpoints every few iterations, each start further than the last."""
    interval, begin, found = draw(st.integers(1, 5)), 0, []
    for _ in range(draw(st.integers(0, 4))):
        killed = begin + draw(st.integers(interval, 3 * interval))
        found.append((begin + 1, killed))
        begin = killed // interval * interval
    return [*found, (begin + 1, begin + draw(st.integers(1, 9)))]


@settings(max_examples=200, deadline=None)
@given(starts(), st.data())
def test_any_kills_and_any_clock(tmp_path_factory, parts, data):
    names = data.draw(st.permutations([f'{i}' for i in range(len(parts))]))
    folder = tmp_path_factory.mktemp('run')
    for tag, ((first, last), name) in enumerate(zip(parts, names)):
        write_log(folder, name, range(first, last + 1), tag)
    steps, evaluations = curves(folder, parts[-1][0] - 1)
    end = parts[-1][1]
    assert [i for i, _ in steps] == list(range(1, end + 1)) and evaluations == list(range(10, end + 1, 10))
    if names == sorted(names):  # no start counts after the next one began
        expected = {i: tag for tag, (first, last) in enumerate(parts) for i in range(first, last + 1)}
        assert all(tag <= expected[i] for i, tag in steps)
        assert all(tag == len(parts) - 1 for i, tag in steps if i >= parts[-1][0])


@pytest.mark.parametrize('line', ['5', '[1]', '{"iter": 3}', 'null', '{"step": "x"}', '[' * 100_000, '{,}'])
def test_a_damaged_log_is_named(tmp_path, line):
    write_log(tmp_path, '0_a', range(1, 5), 0)
    path = tmp_path / '0_a' / 'vis_data' / 'scalars.json'
    path.write_text(f'{line}\n{path.read_text()}')
    with pytest.raises(ConfigError, match=str(path)):
        read_curves(tmp_path, 0)


def test_no_log(tmp_path):
    with pytest.raises(ConfigError, match=f'{tmp_path}.*scalars.json'):
        read_curves(tmp_path, 0)


@pytest.mark.parametrize('text', [None, '', '5', '[]', 'null', '{"command": []}', '[' * 100_000])
def test_damaged_notes_are_named(tmp_path, text):
    if text is not None:
        (tmp_path / 'run.json').write_text(text)
    with pytest.raises(ConfigError, match='run.json'):
        read_notes(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(ConfigError, match='none'):
        find_published_checkpoint(tmp_path / 'none')
