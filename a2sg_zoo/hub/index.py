"""The index of pretrained weights: one JSON file that says for every name what the weights are and where they lie.

    {"schema": 1, "models": {NAME: {...}}}

`FIELDS` lists what an entry holds. Nothing here imports PyTorch, so listing is quick.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from a2sg_zoo.errors import ConfigError, printable
from a2sg_zoo.hub.files import expanded, write_atomically
from a2sg_zoo.utils.checks import is_integer, is_number

SHIPPED = Path(__file__).with_name('weights.json')
SCHEMA = 1
TASKS = ('classification', 'segmentation', 'detection', 'language')
# starts the address of weights by name: in configs, and wherever a tool takes a checkpoint
ZOO = 'zoo:'
# starts the address of weights in a repository of the Hugging Face Hub
HF = 'hf:'
ADDRESSES = (ZOO, HF)
# answers None for a good value, or says what is expected
Check = Callable[[Any], str | None]
_NAME = re.compile(r'[a-z0-9][a-z0-9_.-]*')


@dataclass(frozen=True)
class Entry:
    """An entry of an index.

    Attributes:
        name: of the weights.
        facts: {field: value}, see `FIELDS`.
        index: path of the index file. A relative location starts at its folder.
    """

    name: str
    facts: dict
    index: Path

    def __getitem__(self, field: str) -> Any:
        return self.facts[field]

    def get(self, field: str, default: Any = None) -> Any:
        """The value of a field, or a default if the entry does not have it."""
        return self.facts.get(field, default)

    @property
    def shipped(self) -> Path | None:
        """The file beside the index, or None if it has to be downloaded."""
        return None if urlsplit(self['location']).scheme else self.index.parent / self['location']

    @property
    def filename(self) -> str:
        """The last part of the location: the name under which a mirror has the file."""
        return _file(self['location']).name


def _text(value: Any) -> str | None:
    sound = isinstance(value, str) and value.strip() and printable(value, keep='\n') == value
    return None if sound else 'a text without control characters'


def _count(value: Any) -> str | None:
    return None if is_integer(value) and value > 0 else 'a positive integer'


def _number(value: Any) -> str | None:
    return None if is_number(value) and math.isfinite(value) else 'a finite number'


def _one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f'one of {", ".join(map(repr, choices))}'


def _hash(value: Any) -> str | None:
    return None if isinstance(value, str) and re.fullmatch('[0-9a-f]{64}', value) else '64 hexadecimal digits'


def _list_of(check: Check) -> Check:
    def all_are(value: Any) -> str | None:
        if isinstance(value, list) and value:
            return next((f'a list in which each is {fault}' for fault in map(check, value) if fault), None)
        return 'a list that is not empty'

    return all_are


def _mapping(check: Check | None = None, **required: Check) -> Check:
    """A check of a dictionary: the keys that it must have with the checks of their values, and of all others."""

    def is_mapping(value: Any) -> str | None:
        if not isinstance(value, dict) or not value:
            return 'a dictionary that is not empty'
        missing = [key for key in required if key not in value]
        if missing:
            return f'a dictionary with the key {missing[0]!r}'
        for key, item in value.items():
            fault = (required.get(key) or check or (lambda item: None))(item)
            if fault:
                return f'a dictionary in which {key!r} is {fault}'
        return None

    return is_mapping


def _class_scores(value: Any) -> str | None:
    score = 'AP' if isinstance(value, dict) and 'AP' in value else 'IoU'
    return _mapping(**{'class': _text, score: _number})(value)


def _file(location: str) -> PurePosixPath:
    """The path in a location, without the query of a web address and the revision of one of the Hugging Face Hub."""
    parts = urlsplit(location)
    if parts.scheme == 'hf':
        return PurePosixPath(re.sub(r'(\.safetensors)@[\w.-]+$', r'\1', parts.path))
    return PurePosixPath(parts.path if parts.scheme in ('http', 'https') else location)


def _location(value: Any) -> str | None:
    what = 'a path beside the index, or an address file:, http:, https: or hf:OWNER/REPOSITORY/FILE[@REVISION]'
    try:
        named = _file(value).suffix == '.safetensors'
    except (TypeError, ValueError, AttributeError):
        named = False
    if not named:
        return what + ', of a .safetensors file'
    parts = urlsplit(value)
    if not parts.scheme and (PurePosixPath(value).is_absolute() or '..' in PurePosixPath(value).parts or '\\' in value):
        return what + '; this one climbs out of the folder of the index'
    if parts.scheme == 'hf' and (len(PurePosixPath(parts.path).parts) < 3 or '..' in parts.path.split('/')):
        return what
    return None if parts.scheme in ('', 'file', 'http', 'https', 'hf') else what


# field: (check of its value, whether it is required, meaning)
FIELDS: dict[str, tuple[Check, bool, str]] = {
    'task': (_one_of(*TASKS), True, 'task of the network'),
    'summary': (_text, True, 'one sentence on the weights'),
    'config': (_text, True, 'config file of the training'),
    'model': (_mapping(type=_text), True, 'part `model` of that config'),
    'location': (_location, True, 'where the weight file is'),
    'size': (_count, True, 'size of the file in bytes'),
    'sha256': (_hash, True, 'SHA-256 of the file'),
    'parameters': (_count, True, 'number of trained parameters'),
    'T': (_count, True, 'number of time steps'),
    'data': (_mapping(name=_text), True, 'data of training and test: name, about, licence, url'),
    'recipe': (_mapping(command=_text, evaluation=_text), True, 'commands of training and evaluation, settings'),
    'metrics': (_mapping(_number), True, 'measured by this project on the test data with this file'),
    'licence': (_text, True, 'SPDX identifier of the licence of the weights'),
    'code_version': (_text, True, 'version of a2sg_zoo that made the file'),
    'converted_from': (_mapping(url=_text, licence=_text), False, 'published file that was converted'),
    'per_class': (_list_of(_class_scores), False, 'scores of each class: IoU, or AP of a detection'),
    'beta': (_mapping(_list_of(_number)), False, 'width beta of the surrogate for each layer and time step'),
    'firing_rates': (_mapping(_number), False, 'spikes per neuron and time step for each layer'),
    'energy': (_mapping(), False, 'estimated energy per image, with its assumptions'),
    'flatness': (_mapping(_number), False, 'curvature of the loss at these weights'),
    'uses': (_text, False, 'intended use'),
    'not_for': (_text, False, 'uses that are not intended'),
    'limits': (_list_of(_text), False, 'known limitations'),
}


def index_path() -> Path:
    """The index in use: the file in the environment variable A2SG_ZOO_INDEX, or the one that the package ships."""
    return expanded(os.environ.get('A2SG_ZOO_INDEX') or SHIPPED)


def cards_path() -> Path | None:
    """The folder of the model cards of the index in use.

    For the index that the package ships it is `model_cards` in the checkout, or None if there is no checkout. For any
    other index it is `model_cards` beside it.
    """
    if index_path() != SHIPPED:
        return index_path().parent / 'model_cards'
    folder = SHIPPED.parents[2] / 'model_cards'
    return folder if folder.is_dir() else None


def read_index(path: str | os.PathLike | None = None) -> dict[str, Entry]:
    """Reads and checks a whole index file.

    Args:
        path: of the index; by default `index_path()`.

    Returns:
        {name: entry}.

    Raises:
        ConfigError: there is no such file, or it is no index; the message names the entry and the field.
    """
    path = index_path() if path is None else Path(path)
    try:
        contents = json.loads(path.read_text(encoding='utf-8'), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise ConfigError(
            f'index of weights {path} cannot be read: {error.strerror}; set A2SG_ZOO_INDEX to another, '
            'or unset it to use the one that the package ships'
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'index of weights {path}: {error}') from error
    if (
        not isinstance(contents, dict)
        or contents.get('schema') != SCHEMA
        or not isinstance(contents.get('models'), dict)
    ):
        raise ConfigError(f'index of weights {path}: it must be {{"schema": {SCHEMA}, "models": {{...}}}}')
    for name, facts in contents['models'].items():
        check_entry(name, facts, f'index of weights {path}')
    return {name: Entry(name, facts, path) for name, facts in contents['models'].items()}


def check_entry(name: str, facts: Any, where: str, complete: bool = True) -> None:
    """Checks an entry of an index against `FIELDS`.

    Args:
        name: of the weights.
        facts: {field: value}.
        where: begins the message.
        complete: whether all required fields must be there.

    Raises:
        ConfigError: the message names the entry and the field.
    """
    if not _NAME.fullmatch(name) or '..' in name:
        raise ConfigError(
            f'{where}: {name!r} cannot be a name; names consist of lower-case letters, digits, and single _ - .'
        )
    if not isinstance(facts, dict):
        raise ConfigError(f'{where}: {name} must be a dictionary, got {facts!r:.60}')
    for field, (_, required, meaning) in FIELDS.items():
        if complete and required and field not in facts:
            raise ConfigError(f'{where}: {name} lacks the field {field} ({meaning})')
    for field, value in facts.items():
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, n=1)
            raise ConfigError(
                f'{where}: {name} has an unknown field {field}'
                + (f'; did you mean {near[0]}?' if near else f'; known: {", ".join(FIELDS)}')
            )
        expected = FIELDS[field][0](value)
        if expected:
            raise ConfigError(f'{where}: {name}.{field} must be {expected}; got {value!r:.100}')


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'{next(name for name in names if names.count(name) > 1)!r} occurs twice')
    return seen


def write_index(entries: Mapping[str, dict], path: str | os.PathLike) -> None:
    """Checks entries and writes them as an index file, see `index_text`.

    Args:
        entries: {name: facts}.
        path: of the index.

    Raises:
        ConfigError: an entry is faulty.
        CheckpointError: the file cannot be written.
    """
    write_atomically(index_text(entries, f'index of weights {path}').encode(), path)


def index_text(entries: Mapping[str, dict], where: str) -> str:
    """The text of an index file, ordered by name. A list of numbers takes one line.

    Args:
        entries: {name: facts}.
        where: begins the message of an error.

    Raises:
        ConfigError: an entry is faulty.
    """
    for name, facts in entries.items():
        check_entry(name, facts, where)
    contents = dict(schema=SCHEMA, models={name: entries[name] for name in sorted(entries)})
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False)
    # JSON strings hold no line feeds, so this pattern matches lists alone
    text = re.sub(r'\[\n\s*([^][{}"]*?)\n\s*\]', lambda found: '[' + ' '.join(found[1].split()) + ']', text)
    return text + '\n'


def names(patterns: str | Sequence[str] = '*', task: str | None = None, exclude: str | Sequence[str] = ()) -> list[str]:
    """The names in the index that match one of some patterns, in alphabetical order.

    Args:
        patterns: of `fnmatch`, such as '*cifar10*'. Upper and lower case are the same.
        task: 'classification', 'segmentation', 'detection' or 'language'; None for all.
        exclude: patterns of names to leave out.

    Raises:
        ConfigError: there is no such task.
    """
    if task not in (None, *TASKS):
        raise ConfigError(f'task = {task!r} must be one of {", ".join(map(repr, TASKS))}')
    return sorted(
        name
        for name, entry in read_index().items()
        if matches(name, patterns) and not matches(name, exclude) and task in (None, entry['task'])
    )


def matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Whether a name matches one of some patterns of `fnmatch`; upper and lower case of the patterns are the same.

    >>> matches('resnet19_cifar10', ['vgg*', '*CIFAR10'])
    True
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern.lower()) for pattern in patterns)


def find(name: str) -> Entry:
    """The entry of a name in the index.

    Raises:
        ConfigError: there is none; the message suggests the nearest names.
    """
    entries = read_index()
    if name in entries:
        return entries[name]
    raise ConfigError(f'the zoo has no weights named {printable(name)!r}; {suggestion(name, entries)}')


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: the nearest names, or all of them.

    >>> suggestion('resnet20', ['resnet19', 'vgg'])
    'did you mean resnet19?'
    """
    known = sorted(known)
    near = get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    return f'did you mean {" or ".join(near)}?' if near else f'known: {", ".join(known) or "none yet"}'
