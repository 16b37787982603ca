"""Logs that never cost a run: what cannot be written is said once, and the training goes on.

A file of records has a JSON object a line, with the iteration under `iter`.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

_said: set[str] = set()


@contextmanager
def tolerated(log: str | Path) -> Iterator[None]:
    """Within the block, a log that cannot be written is a warning, given once for each log, and not an error.

    Only for files that tell about a run: checkpoints and results must be written or fail.

    Args:
        log: the file or folder that the block writes, for the message.
    """
    try:
        yield
    except OSError as error:
        if str(log) not in _said:
            _said.add(str(log))
            print_log(
                f'{log} cannot be written ({error.strerror or error}). The run goes on without this log; checkpoints '
                'are not affected. Free space, or make the folder writable, and the log continues',
                'current',
                logging.WARNING,
            )


def drop_cut_lines(folder: Path) -> None:
    """Removes the last line of JSON files if it has no end, so that the next record begins a line.

    Args:
        folder: with files, or folders of them, of a JSON object a line.
    """
    for path in folder.rglob('*.json'):
        with tolerated(path), open(path, 'rb+') as file:
            contents = file.read()
            file.truncate(contents.rfind(b'\n') + 1)


def append_record(path: Path, record: dict) -> None:
    """Appends a record to a file of records, whole or not at all; a file that cannot be written is only warned of.

    Args:
        path: the file.
        record: plain data.
    """
    with tolerated(path), open(path, 'ab', buffering=0) as file:
        line = json.dumps(record).encode() + b'\n'
        size = file.tell()
        try:
            while line:  # where the space ends, part of it may fit
                line = line[file.write(line) :]
        except OSError:
            file.truncate(size)
            raise


def read_records(path: Path, key: str) -> list[dict]:
    """The records of a file in the order of their iterations; of several for one iteration, the last.

    A file that is missing or cannot be read has none, and a line that is no record is left out with a warning.

    Args:
        path: the file.
        key: what every record has beside `iter`: a dictionary.
    """
    with tolerated(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
        records = [_record(line, key) for line in lines]
        odd = [i for i, record in enumerate(records, 1) if record is None and lines[i - 1].strip()]
        if odd and odd != [len(lines)]:  # a kill may cut the last line short
            print_log(
                f'{path}: {len(odd)} lines are no records of a run and are left out, the first is line {odd[0]}',
                'current',
                logging.WARNING,
            )
        found = {record['iter']: record for record in records if record}
        return [found[iteration] for iteration in sorted(found)]
    return []


def drop_records_after(path: Path, iteration: int, key: str) -> None:
    """Removes what a run wrote after the checkpoint that it resumes from, and lines that are no records.

    Args:
        path: a file of records; it may be missing.
        iteration: records of later iterations are removed.
        key: see `read_records`.
    """
    kept = [record for record in read_records(path, key) if record['iter'] <= iteration]
    with tolerated(path):
        if path.exists():
            temporary = path.with_suffix('.tmp')
            temporary.write_text(''.join(json.dumps(record) + '\n' for record in kept))
            os.replace(temporary, path)


def _record(line: bytes, key: str) -> dict | None:
    """The record in a line of a file, None where there is none."""
    try:
        record = json.loads(line)
    except ValueError:  # no text, or no JSON
        return None
    sound = isinstance(record, dict) and type(record.get('iter')) is int and isinstance(record.get(key), dict)
    return record if sound else None
