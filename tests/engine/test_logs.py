"""Files of records: what a full disk, a kill or a stranger leaves of them."""

import json
import resource
import signal
import subprocess
import sys

import pytest

from a2sg_zoo.engine import logs
from a2sg_zoo.engine.logs import append_record, drop_cut_lines, drop_records_after, read_records


def record(iteration):
    return dict(iter=iteration, layers=dict(lif=dict(beta=[0.5, 1.0], rate=0.25)))


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr('a2sg_zoo.engine.logs._said', set())
    monkeypatch.setattr('a2sg_zoo.engine.logs.print_log', lambda text, *args: said.append(text))
    return said


ODD = [
    b'[1, 2]',
    b'7',
    b'"text"',
    b'null',
    b'{"iter": "3", "layers": {}}',
    b'{"iter": 3}',
    b'{"iter": true, "layers": {}}',
]


@pytest.mark.parametrize('odd', [*ODD, b'\xff\xfe\x00', b'{"iter": 3, "lay'])
def test_lines_that_are_no_records_are_dropped_and_counted(tmp_path, warnings, odd):
    path = tmp_path / 'adaptation.jsonl'
    lines = [json.dumps(record(1)).encode(), odd, json.dumps(record(2)).encode(), json.dumps(record(3)).encode()]
    path.write_bytes(b'\n'.join(lines) + b'\n')
    drop_records_after(path, 2, 'layers')
    assert path.read_bytes() == lines[0] + b'\n' + lines[2] + b'\n'
    assert len(warnings) == 1 and str(path) in warnings[0] and 'line 2' in warnings[0]


def test_a_line_that_a_kill_cut_short_is_no_news(tmp_path, warnings):
    path = tmp_path / 'adaptation.jsonl'
    path.write_text(json.dumps(record(1)) + '\n{"iter": 2, "la')
    drop_records_after(path, 5, 'layers')
    assert path.read_text() == json.dumps(record(1)) + '\n' and not warnings


def test_a_folder_in_its_place_is_said_once(tmp_path, warnings):
    path = tmp_path / 'adaptation.jsonl'
    path.mkdir()
    drop_records_after(path, 5, 'layers')
    append_record(path, record(1))
    append_record(path, record(2))
    assert len(warnings) == 1 and str(path) in warnings[0]


def test_a_folder_that_vanished_is_said_once(tmp_path, warnings):
    path = tmp_path / 'gone' / 'adaptation.jsonl'
    append_record(path, record(1))
    append_record(path, record(2))
    assert len(warnings) == 1 and str(path) in warnings[0]
    path.parent.mkdir()
    append_record(path, record(3))
    assert json.loads(path.read_text()) == record(3)


_FULL = """
import sys
from pathlib import Path
from a2sg_zoo.engine.logs import append_record
for i in range(1, 21):
    append_record(Path(sys.argv[1]), dict(iter=i, layers=dict(lif=dict(beta=[0.5] * 20))))
print('went on')
"""


def test_where_the_space_ends_whole_lines_are_left(tmp_path):
    """A limit on the size of files cuts a write as a full disk does: part of a line fits."""
    path = tmp_path / 'adaptation.jsonl'

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run([sys.executable, '-c', _FULL, path], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 0 and done.stdout.endswith('went on\n'), done.stderr
    assert done.stdout.count(str(path)) == 1
    text = path.read_text()
    assert text.endswith('\n') and 800 < len(text) <= 1000
    assert [json.loads(line)['iter'] for line in text.splitlines()] == [*range(1, 1 + text.count('\n'))]


def test_errors_of_other_kinds_are_not_tolerated():
    with pytest.raises(ValueError), logs.tolerated('log'):
        raise ValueError


def test_records_are_in_the_order_of_iterations_and_the_last_of_each_counts(tmp_path):
    path = tmp_path / 'records.jsonl'
    for iteration, rate in ((4, 0.1), (2, 0.2), (4, 0.3)):
        append_record(path, dict(iter=iteration, layers=dict(rate=rate)))
    assert [(r['iter'], r['layers']['rate']) for r in read_records(path, 'layers')] == [(2, 0.2), (4, 0.3)]
    assert read_records(tmp_path / 'none.jsonl', 'layers') == []


def test_a_line_without_its_end_is_removed(tmp_path):
    (tmp_path / 'scalars.json').write_text('{"step": 1}\n{"st')
    (tmp_path / 'whole.json').write_text('{"step": 1}\n')
    (tmp_path / 'only.json').write_text('{"st')
    drop_cut_lines(tmp_path)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ['', '{"step": 1}\n', '{"step": 1}\n']
