"""Result files: one JSON file for each run, with a checksum that tells when the file was changed."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a2sg_zoo.errors import DataError
from a2sg_zoo.hub.files import finite_json, write_atomically
from a2sg_zoo.utils.checks import is_number

FORMAT = 2
# what every result has, and of which type
_TYPES: dict[str, Any] = {
    'network': str,
    'dataset': str,
    'method': str,
    'seed': int,
    'status': str,
    'hash': str,
    'data': str,
    'metrics': dict,
    'cost': dict,
    'curves': dict,
}
# what a result may lack
_OPTIONAL_TYPES: dict[str, Any] = {
    'versions': dict,
    'activity': (dict, type(None)),
    'suite': str,
    'search': dict,
    'machine': str,
}
# the key that says which version of the code made a result, in each format
_VERSION_KEYS = {1: 'code', FORMAT: 'version'}


def run_name(network: str, dataset: str, method: str, seed: int) -> str:
    """Return the name of a run, which its result file, its folder and its row in the plan have in common.

    >>> run_name('resnet', 'digits', 'a2sg', 0)
    'resnet-digits-a2sg-s0'
    """
    return f'{network}-{dataset}-{method}-s{seed}'


def result_path(folder: str | os.PathLike, name: str) -> Path:
    """Return the path of a run's result file.

    Args:
        folder: folder of the suite's results.
        name: name of the run, see `run_name`.
    """
    return Path(folder) / 'runs' / f'{name}.json'


def write_result(folder: str | os.PathLike, result: dict[str, Any]) -> None:
    """Write the result of a run, with its format and its checksum.

    Numbers that are not finite become null, since JSON has no other word for them.

    Args:
        folder: folder of the suite's results.
        result: the keys that `read_result` requires, and whatever else a report shows.

    Raises:
        CheckpointError: the file cannot be written.
    """
    result = finite_json(dict(result, format=FORMAT))
    result['checksum'] = _checksum(result)
    name = run_name(*(result[key] for key in ('network', 'dataset', 'method', 'seed')))
    text = json.dumps(result, indent=1, allow_nan=False) + '\n'
    write_atomically(text.encode(), result_path(folder, name))


def read_result(path: str | os.PathLike) -> dict[str, Any]:
    """Read the result of a run.

    Files of format 1, which older versions of a2sg_zoo wrote, are read too. Their `version` is the hash of the source
    code that made them, so they agree with no run of today.

    Raises:
        DataError: the file cannot be read, is cut short, was edited, has another format, or holds the result of another
            run than its name says. The message does not name the file.
    """
    path = Path(path)
    try:
        result = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f'the file cannot be read ({error.strerror})') from error
    except (ValueError, RecursionError) as error:
        raise DataError('the file is cut short or damaged') from error
    version_key = _VERSION_KEYS.get(result.get('format')) if isinstance(result, dict) else None
    if version_key is None or not _has_types(result):
        raise DataError(f'the file is not a result of format {" or ".join(map(str, _VERSION_KEYS))}')
    if result.get('checksum') != _checksum(result):
        raise DataError('the file was edited: its checksum does not agree with its contents')
    if run_name(*(result[key] for key in ('network', 'dataset', 'method', 'seed'))) != path.stem:
        raise DataError('the file holds the result of another run than its name says')
    return dict(result, version=result.get(version_key))


def load_results(folder: str | os.PathLike) -> tuple[list[dict[str, Any]], list[tuple[Path, str]]]:
    """Read all results of a suite.

    Returns:
        The results in the order of their names, and (path, what is wrong) of every file that does not count.
    """
    results, problems = [], []
    for path in sorted(Path(folder).glob('runs/*.json')):
        try:
            results.append(read_result(path))
        except DataError as error:
            problems.append((path, str(error)))
    return results, problems


def _has_types(result: dict[str, Any]) -> bool:
    return (
        all(isinstance(result.get(key), kind) for key, kind in _TYPES.items())
        and all(isinstance(result[key], kind) for key, kind in _OPTIONAL_TYPES.items() if key in result)
        and _are_curves(result['curves'])
    )


def _are_curves(curves: dict[str, Any]) -> bool:
    widths = curves.get('beta') or {}
    return (
        all(_are_points(curves.get(key) or [], _is_value) for key in ('loss', 'metric'))
        and isinstance(widths, dict)
        and all(
            _are_points(points, lambda x: isinstance(x, list) and all(map(_is_value, x))) for points in widths.values()
        )
    )


def _are_points(points: Any, is_value: Callable[[Any], bool]) -> bool:
    """Whether these are points [iteration, value] of a curve."""
    return isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and is_number(point[0]) and is_value(point[1]) for point in points
    )


def _is_value(value: Any) -> bool:
    return value is None or is_number(value)


def _checksum(result: dict[str, Any]) -> str:
    text = json.dumps({key: value for key, value in result.items() if key != 'checksum'}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
