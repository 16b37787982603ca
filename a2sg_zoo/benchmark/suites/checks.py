"""Checks of what stands in a suite file: the types of its keys, its names, and its metric."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from a2sg_zoo.benchmark.suites.results import run_name
from a2sg_zoo.engine.metrics.score_names import score_names
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.utils.checks import is_integer, is_number

AXES = ('networks', 'datasets', 'methods')
SEARCH_KEYS = ('space', 'metric', 'mode', 'options')
_PUBLISHED_KEYS = ('network', 'dataset', 'method', 'value', 'source')
_REQUIRED = ('name', *AXES, 'seeds', 'reference')
# of a run, in bytes: file systems take names of 255, and endings are added
_LONGEST_NAME = 200


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_finite(value: Any) -> bool:
    """Return whether a value is a finite number and not a bool."""
    return is_number(value) and math.isfinite(value)


def _is_files(value: Any) -> bool:
    return _is_text(value) or isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _is_table(is_value: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(_is_text(k) and is_value(v) for k, v in value.items())


def _is_seed(value: Any) -> bool:
    return is_integer(value) and 0 <= value < 2**32


def are_published(value: Any) -> bool:
    """Return whether a value is a list of published figures."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(entry, dict)
        and entry.keys() == set(_PUBLISHED_KEYS)
        and is_finite(entry['value'])
        and all(_is_text(entry[key]) for key in _PUBLISHED_KEYS if key != 'value')
        for entry in value
    )


_is_options = _is_table(lambda value: True)
# {key: (check of its value, what it must be)}
_KINDS = {
    'name': (_is_text, 'text'),
    **dict.fromkeys(AXES, (_is_table(_is_files), 'a dictionary {name: config file, or list of config files}')),
    'seeds': (
        lambda value: isinstance(value, (list, tuple)) and bool(value) and all(map(_is_seed, value)),
        'a list of integers from 0 to 2^32 - 1',
    ),
    'reference': (_is_text, 'the name of a method'),
    'common': (_is_files, 'a list of config files'),
    'options': (_is_options, 'a dictionary {dotted key: value}'),
    **dict.fromkeys(
        ('network_options', 'dataset_options', 'method_options'),
        (_is_table(_is_options), 'a dictionary {name: {dotted key: value}}'),
    ),
    'tuned': (_is_text, 'the name of a best.json'),
    'metric': (_is_text, 'the name of a metric'),
    'timeout': (lambda value: is_finite(value) and value > 0, 'a number of seconds above 0'),
    'published': (
        are_published,
        f'a list of dictionaries with {", ".join(_PUBLISHED_KEYS)}, and value must be a number',
    ),
    'search': (_is_options, 'a dictionary'),
}


def check_content(content: Mapping[str, Any], path: Path) -> None:
    """Check what stands in a suite file.

    Args:
        content: {key: value}.
        path: the file, for messages.

    Raises:
        ConfigError: a key is missing, unknown or has a wrong value; the message names it.
    """
    unknown = [key for key in content if key not in _KINDS]
    missing = [key for key in _REQUIRED if key not in content]
    if unknown or missing:
        problem = f'unknown key {", ".join(sorted(unknown))}' if unknown else f'missing key {", ".join(missing)}'
        raise ConfigError(f'{path}: {problem}; a suite has {", ".join(_KINDS)}')
    for key, value in content.items():
        is_right, wanted = _KINDS[key]
        if not is_right(value):
            raise ConfigError(f'{path}: {key} must be {wanted}, got {value!r:.200}')
    _check_names(content, path)
    _check_references(content, path)


def _check_names(content: Mapping[str, Any], path: Path) -> None:
    # it is a folder's name, so it must neither lead elsewhere nor be hidden
    if not re.fullmatch(r'\w[\w.-]*', content['name']) or len(content['name'].encode()) > _LONGEST_NAME:
        raise ConfigError(
            f'{path}: name: {content["name"]!r:.200} must be at most {_LONGEST_NAME} letters, digits, underscores, '
            'hyphens and full stops, and begin with a letter, a digit or an underscore'
        )
    for axis in AXES:
        if not content[axis]:
            raise ConfigError(f'{path}: {axis} is empty')
        for name in content[axis]:
            if not re.fullmatch(r'\w+', name):  # no two runs can then have one name
                raise ConfigError(f'{path}: {axis}: {name!r:.200} must be made of letters, digits and underscores')
        seen: dict[str, str] = {}
        for name in content[axis]:
            other = seen.setdefault(name.casefold(), name)
            if other != name:  # one file on a disk that ignores case
                raise ConfigError(f'{path}: {axis}: {other} and {name} differ in case alone; rename one of them')
    seeds = content['seeds']
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f'{path}: seeds: {seeds} has a seed twice, which would give two runs one name')
    network, dataset, method = (max(content[axis], key=lambda name: len(name.encode())) for axis in AXES)
    longest = run_name(network, dataset, method, max(seeds))
    if len(longest.encode()) > _LONGEST_NAME:
        raise ConfigError(f'{path}: the name of a run, {longest[:60]}..., is too long for a file; shorten its parts')


def _check_references(content: Mapping[str, Any], path: Path) -> None:
    """Whether every name that a key mentions is one of the suite."""
    methods, search = content['methods'], content.get('search', {})
    if content['reference'] not in methods:
        raise ConfigError(
            f'{path}: reference = {content["reference"]!r} is not one of the methods {", ".join(methods)}'
        )
    unknown = search.keys() - {*SEARCH_KEYS, 'method_space', 'dataset_options'}
    if unknown:
        raise ConfigError(
            f'{path}: search: unknown key {", ".join(sorted(unknown))}; it has {", ".join(SEARCH_KEYS)}, method_space '
            'and dataset_options'
        )
    named = {f'{axis[:-1]}_options': (axis, content.get(f'{axis[:-1]}_options', {})) for axis in AXES}
    named['search.method_space'] = 'methods', search.get('method_space', {})
    named['search.dataset_options'] = 'datasets', search.get('dataset_options', {})
    for key, (axis, entries) in named.items():
        if not _is_table(_is_options)(entries):
            raise ConfigError(
                f'{path}: {key} must be a dictionary {{name: {{dotted key: value}}}}, got {entries!r:.200}'
            )
        strange = entries.keys() - content[axis].keys()
        if strange:
            raise ConfigError(f'{path}: {key} names {", ".join(sorted(strange))}, which {axis} does not have')


def check_metric(metric: str, evaluator: Any, key: str, where: str) -> None:
    """Check that an evaluation gives a metric, as far as its metrics say what they give.

    Args:
        metric: name, such as 'top1' or 'best_top1'.
        evaluator: `val_evaluator` of a config.
        key: key that names the metric, for the message.
        where: data set or config that is evaluated, for the message.

    Raises:
        ConfigError: it certainly does not.
    """
    names = score_names(evaluator)
    if names is None:
        return
    possible = [*names, f'best_{names[0]}']
    if not _matches(metric, possible):
        raise ConfigError(f'{key}: an evaluation of {where} does not give {metric!r}; it gives {", ".join(possible)}')


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
