"""The index of weights: one JSON file that says, for every name, what the weights are and where they lie.

    {"schema": 1, "models": {NAME: {...}}}

What an entry holds is listed in `FIELDS`. Nothing here imports PyTorch, so that listing is quick.
"""

import json
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically

SHIPPED = Path(__file__).with_name('weights.json')
SCHEMA = 1
# begins the address of weights by name: in configs, and wherever a checkpoint is asked for
ZOO = 'zoo:'
_NAME = re.compile(r'[a-z0-9][a-z0-9_.-]*')


@dataclass(frozen=True)
class Entry:
    """An entry of an index.

    Attributes:
        name: of the weights.
        facts: {field: value}, as in `FIELDS`.
        index: path of the index file, beside which a relative location is looked up.
    """

    name: str
    facts: dict
    index: Path

    def __getitem__(self, field):
        return self.facts[field]

    def get(self, field, default=None):
        return self.facts.get(field, default)

    @property
    def shipped(self):
        """The file beside the index, or None where it is fetched from elsewhere."""
        return None if urlsplit(self['location']).scheme else self.index.parent / self['location']

    @property
    def filename(self):
        """The last part of the location: the name under which a mirror has the file."""
        return _file(self['location']).name


def _text(value):
    return None if isinstance(value, str) and value.strip() else 'a text'


def _count(value):
    return None if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 'a positive integer'


def _number(value):
    return None if isinstance(value, (int, float)) and not isinstance(value, bool) else 'a number'


def _one_of(*choices):
    return lambda value: None if value in choices else f'one of {", ".join(map(repr, choices))}'


def _hash(value):
    return None if isinstance(value, str) and re.fullmatch('[0-9a-f]{64}', value) else '64 hexadecimal digits'


def _list_of(check):
    def all_are(value):
        if isinstance(value, list) and value:
            return next((f'a list in which each is {fault}' for fault in map(check, value) if fault), None)
        return 'a list that is not empty'

    return all_are


def _mapping(check=None, **required):
    """A dictionary that has the required keys; what their values and all others must be."""

    def is_mapping(value):
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


def _file(location):
    """The path in a location, without the query of a web address and the revision of one of the Hub."""
    parts = urlsplit(location)
    if parts.scheme == 'hf':
        return PurePosixPath(re.sub(r'(\.safetensors)@[\w.-]+$', r'\1', parts.path))
    return PurePosixPath(parts.path if parts.scheme in ('http', 'https') else location)


def _location(value):
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


# field: (what its value must be, as a check that answers None or what is expected; whether it is required; meaning)
FIELDS = {
    'task': (_one_of('classification', 'segmentation'), True, 'what the network does'),
    'summary': (_text, True, 'one sentence'),
    'config': (_text, True, 'the config file of its training'),
    'model': (_mapping(type=_text), True, 'the part `model` of that config'),
    'location': (_location, True, 'where the file lies'),
    'size': (_count, True, 'of the file, in bytes'),
    'sha256': (_hash, True, 'of the file'),
    'parameters': (_count, True, 'number of trained parameters'),
    'T': (_count, True, 'number of time steps'),
    'data': (_mapping(name=_text), True, 'the data it was trained and tested on: name, about, licence, url'),
    'recipe': (_mapping(command=_text, evaluation=_text), True, 'command of the training, of the evaluation, seed...'),
    'metrics': (_mapping(_number), True, 'measured by this project on the test data, with this file'),
    'licence': (_text, True, 'SPDX identifier, of the weights'),
    'code_version': (_text, True, 'version of a2sg_zoo that made the file'),
    'converted_from': (_mapping(url=_text, licence=_text), False, 'the published file that was converted'),
    'per_class': (_list_of(_mapping(**{'class': _text, 'IoU': _number})), False, 'scores of every class'),
    'beta': (_mapping(_list_of(_number)), False, 'window of the surrogate, for each layer and time step'),
    'firing_rates': (_mapping(_number), False, 'spikes a neuron and time step, for each layer'),
    'energy': (_mapping(), False, 'estimate of the energy of an image, with its assumptions'),
    'flatness': (_mapping(_number), False, 'measures of the curvature of the loss at these weights'),
    'uses': (_text, False, 'what it is for'),
    'not_for': (_text, False, 'what it is not for'),
    'limits': (_list_of(_text), False, 'what is known to be wrong or missing'),
}


def index_path():
    """The index in use: that in the environment variable A2SG_ZOO_INDEX, or else the one that the package ships."""
    return Path(os.environ.get('A2SG_ZOO_INDEX') or SHIPPED).expanduser()


def cards_path():
    """Folder of the cards of the index in use: `model_cards` beside an index of one's own, and in the checkout for the
    one that the package ships. None for that where there is no checkout."""
    if index_path() != SHIPPED:
        return index_path().parent / 'model_cards'
    folder = SHIPPED.parents[2] / 'model_cards'
    return folder if folder.is_dir() else None


def read_index(path=None):
    """{name: Entry} of an index file, all of it checked.

    Args:
        path: of the index; by default `index_path()`.

    Raises:
        ConfigError: there is no such file, or it is no index; the message names the entry and the field.
    """
    path = index_path() if path is None else Path(path)
    try:
        contents = json.loads(path.read_text(encoding='utf-8'), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise ConfigError(
            f'index of weights {path} cannot be read: {error.strerror}; set A2SG_ZOO_INDEX to another, '
            'or unset it for the one that the package ships'
        ) from error
    except ValueError as error:
        raise ConfigError(f'index of weights {path}: {error}') from error
    if (
        not isinstance(contents, dict)
        or contents.get('schema') != SCHEMA
        or not isinstance(contents.get('models'), dict)
    ):
        raise ConfigError(f'index of weights {path}: expected is {{"schema": {SCHEMA}, "models": {{...}}}}')
    for name, facts in contents['models'].items():
        check_entry(name, facts, f'index of weights {path}')
    return {name: Entry(name, facts, path) for name, facts in contents['models'].items()}


def check_entry(name, facts, where, complete=True):
    """Raises ConfigError where an entry of an index is not as `FIELDS` says.

    Args:
        name, facts: of the entry.
        where: begins the message.
        complete: whether all required fields must be there.
    """
    if not _NAME.fullmatch(name) or '..' in name:
        raise ConfigError(
            f'{where}: {name!r} cannot be a name; it takes lower-case letters, digits, and single _ - . after the first'
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


def _without_repeats(pairs):
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'{next(name for name in names if names.count(name) > 1)!r} occurs twice')
    return seen


def write_index(entries, path):
    """Writes {name: facts} as an index file, by name, after checking it; a list of numbers takes one line."""
    for name, facts in entries.items():
        check_entry(name, facts, f'index of weights {path}')
    contents = dict(schema=SCHEMA, models={name: entries[name] for name in sorted(entries)})
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False)
    # no string holds a line feed as it is, so this is about the lists alone
    text = re.sub(r'\[\n\s*([^][{}"]*?)\n\s*\]', lambda found: '[' + ' '.join(found[1].split()) + ']', text)
    write_atomically((text + '\n').encode(), path)


def names(pattern='*'):
    """The names that match a pattern of `fnmatch`, whatever the case, in alphabetical order."""
    return sorted(name for name in read_index() if fnmatchcase(name, pattern.lower()))


def find(name):
    """The entry of a name.

    Raises:
        ConfigError: there is none; the message suggests the nearest.
    """
    entries = read_index()
    if name in entries:
        return entries[name]
    near = get_close_matches(str(name).lower(), entries, n=3, cutoff=0.5)
    hint = f'did you mean {" or ".join(near)}?' if near else f'known: {", ".join(sorted(entries)) or "none yet"}'
    raise ConfigError(f'the zoo has no weights named {name!r}; {hint}')
