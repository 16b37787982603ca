"""The results of runs, one JSON file each, that tell when they are not what was written."""

import hashlib
import json
from pathlib import Path

from a2sg_zoo.hub.files import write_atomically

FORMAT = 1
_KEYS = {'network', 'dataset', 'method', 'seed', 'status', 'hash', 'code', 'data', 'metrics', 'cost', 'curves'}


def run_name(network, dataset, method, seed):
    """Name of a run: of its result, its folder, its row in the plan."""
    return f'{network}-{dataset}-{method}-s{seed}'


def result_path(folder, name):
    return Path(folder) / 'runs' / f'{name}.json'


def write_result(folder, result):
    """Writes a result, with its format and checksum, to its place under `folder`."""
    result = dict(result, format=FORMAT)
    result['checksum'] = _checksum(result)
    name = run_name(*(result[key] for key in ('network', 'dataset', 'method', 'seed')))
    write_atomically((json.dumps(result, indent=1) + '\n').encode(), result_path(folder, name))


def read_result(path):
    """The result in a file.

    Raises:
        ValueError: the file is cut short, was edited, is of another format, or of another run than its name says.
    """
    try:
        result = json.loads(Path(path).read_text())
    except ValueError as error:  # that of decoding is one, too
        raise ValueError('the file is cut short or damaged') from error
    if not isinstance(result, dict) or result.get('format') != FORMAT or not _KEYS <= result.keys():
        raise ValueError(f'the file is not a result of format {FORMAT}')
    if result.get('checksum') != _checksum(result):
        raise ValueError('the file was edited: its checksum does not fit')
    if run_name(*(result[key] for key in ('network', 'dataset', 'method', 'seed'))) != Path(path).stem:
        raise ValueError('the file holds the result of another run')
    return result


def load_results(folder):
    """All results under a folder.

    Returns:
        (results, problems): those that are sound, in the order of their names, and [(path, what is wrong)] of the
        others.
    """
    results, problems = [], []
    for path in sorted(Path(folder).glob('runs/*.json')):
        try:
            results.append(read_result(path))
        except ValueError as error:
            problems.append((path, str(error)))
    return results, problems


def _checksum(result):
    text = json.dumps({key: value for key, value in result.items() if key != 'checksum'}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
