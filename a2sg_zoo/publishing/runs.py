"""The files that a training run leaves, as far as a publication needs them: checkpoint, notes and log."""

import json
from pathlib import Path
from typing import Any

from a2sg_zoo.engine.resume import find_checkpoint
from a2sg_zoo.errors import ConfigError


def find_published_checkpoint(run: Path) -> Path:
    """The checkpoint to publish: the last one in a run's folder, or the file itself.

    Raises:
        ConfigError: there is no such folder or file.
        CheckpointError: the folder has no checkpoint that can be read.
    """
    if not run.exists():
        raise ConfigError(f'{run} does not exist; name the folder of a run, or a checkpoint in it')
    return Path(find_checkpoint(run, 'last')) if run.is_dir() else run


def read_notes(folder: Path) -> dict[str, Any]:
    """What a run noted in run.json: command, commit, device and more.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    path = folder / 'run.json'
    try:
        notes = json.loads(path.read_text())
        for key in ('command', 'start_iter', 'device', 'torch'):
            if key not in notes:
                raise ValueError(f'it has no {key!r}')
        return notes
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f'{path} cannot be read ({error}); every run writes it. Weights are published only with '
            'the command, the seed and the log that belong to them'
        ) from error


def read_curves(folder: Path, start_iter: int) -> bytes:
    """The log of a run without the values of single layers, as JSON lines in the order of the iterations.

    A run that was killed and resumed has a log for each start. Records of an earlier log count up to the iteration at
    which the next one began, so nothing remains of other runs in the same folder. Which log follows which is told by
    iterations first, and by the clock, in the names of their folders, only between logs that both fit. A line that a
    kill cut short is left out.

    Args:
        folder: of the run.
        start_iter: iteration at which the last log began. For the others it follows from their first record.

    Returns:
        Lines of JSON.

    Raises:
        ConfigError: there is no log.
    """
    logs = {log: _read_log(log) for log in sorted(folder.glob('*/vis_data/scalars.json'))}
    if not logs:
        raise ConfigError(
            f'{folder} has no */vis_data/scalars.json; weights are published only with the log of their run'
        )
    kept = {}
    for records, began in _in_order(logs, start_iter):
        kept = {key: record for key, record in kept.items() if record['step'] <= began}
        for record in records:
            record = {key: value for key, value in record.items() if '/' not in key}
            if record.keys() - {'step', 'iter'}:
                # in a training by epochs, the steps of evaluations are epochs
                kept['iter' in record, record['step']] = record
    return ''.join(json.dumps(record) + '\n' for record in kept.values()).encode()


def _read_log(path: Path) -> list[dict]:
    lines = path.read_text(errors='replace').splitlines(keepends=True)
    try:
        records = [json.loads(line) for line in lines if line.endswith('\n')]
        if not all(isinstance(record, dict) and type(record.get('step')) is int for record in records):
            raise ValueError('a line is no record with a step')
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'{path} is damaged ({error}); weights are published only with the log of their run'
        ) from error
    return records


def _in_order(logs: dict[Path, list[dict]], start_iter: int) -> list[tuple[list[dict], int]]:
    """[(records, iteration at which they begin)] of one run, from its first start to its last."""
    first = {log: min((r['iter'] for r in records if 'iter' in r), default=None) for log, records in logs.items()}
    reached = {log: max((r['step'] for r in records), default=0) for log, records in logs.items()}
    # the clock orders the names of the logs; no record of the last start is older than the iteration at which it began
    current = next((log for log in reversed(logs) if first[log] is None or first[log] > start_iter), list(logs)[-1])
    remaining, start = set(logs), start_iter
    chain = [(logs[current], start)]
    while start > 0:
        remaining.discard(current)
        fitting = sorted(log for log in remaining if first[log] is not None and first[log] <= start)
        if not fitting:
            break
        # the log before it reaches that iteration, as long as every iteration is logged, and is older by the clock
        current = max(fitting, key=lambda log: (reached[log] >= start, log < current, log))
        start = first[current] - 1
        chain.append((logs[current], start))
    return chain[::-1]
