"""Config files: where a name leads, and what a file and the files that it inherits from set.

A config is a Python file of assignments (JSON and YAML work too). `_base_` names the files that it builds on:

    _base_ = ['a2sg_zoo::_base_/models/resnet19_cifar.py', '../datasets/mine.py']
    mean = _base_.data_preprocessor.mean            # a value of these files
    data_root = '{{$MY_ROOT:data/mine}}'            # an environment variable, or else the text after the colon

The value of an environment variable is put into the text of a setting after the file has run. It is never run itself.
A name that begins with an underscore stays in its file.
"""

import ast
import os
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.fileio import load

from a2sg_zoo.engine.config_names import find_base, find_method
from a2sg_zoo.errors import ConfigError

# parts that one method alone may set: two policies cannot act on one network
METHOD_PARTS = {'adaptation', 'membrane_loss', 'loss', 'optim_method', 'neuron'}

# attributes of an mmengine.Config
_RESERVED = {'filename', 'text', 'pretty_text', 'env_variables'}
_BASE_VALUE = re.compile(r'\{\{\s*_base_\.([\w.]+)\s*\}\}')
_BARE_VARIABLE = re.compile(r"""\{\{\s*(['"])\$(\w+)\s*:\s*(.*?)\s*\1\s*\}\}""")
_VARIABLE = re.compile(r'\{\{\s*\$(\w+)\s*:\s*(.*?)\s*\}\}')
_FILE_PARTS = dict(
    fileDirname=lambda path: str(path.parent),
    fileBasename=lambda path: path.name,
    fileBasenameNoExtension=lambda path: path.stem,
    fileExtname=lambda path: path.suffix,
)
_FILE = re.compile(rf'\{{\{{\s*({"|".join(_FILE_PARTS)})\s*\}}\}}')


@dataclass
class Contents:
    """What a config file sets, with the files that it inherits from.

    Attributes:
        values: {key: value}.
        origins: {key: the file that sets it last}.
        unread: {variable: its file} for the keys that no line of any file reads. A run may read them.
        environment: {environment variable: the value in use}.
        text: the text of all files.
    """

    values: dict = field(default_factory=dict)
    origins: dict = field(default_factory=dict)
    unread: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    text: str = ''

    def add(self, other: 'Contents', where: str) -> None:
        """Put the contents of another file beside these.

        Args:
            other: contents with other keys.
            where: begins the message of the error.

        Raises:
            ConfigError: both set a key; the message names the key and the two files.
        """
        for key in sorted(self.values.keys() & other.values.keys()):
            # two files may build on one
            if self.origins[key] != other.origins[key] or self.values[key] != other.values[key]:
                raise ConfigError(
                    f'{where}: {key} is set twice, in {_label(self, key)} and in {_label(other, key)}; leave one out'
                )
        self.values.update(other.values)
        self._adopt(other)

    def merge(self, other: 'Contents') -> None:
        """Merge the contents of another file over these, as MMEngine merges a config over its bases."""
        if 'data_root' in self.values and 'data_root' in other.values:
            move_data_root(self.values, self.values['data_root'], other.values['data_root'])
        cfg = Config(self.values)
        cfg.merge_from_dict(other.values, allow_list_keys=False)
        self.values = dict(cfg.items())
        self._adopt(other)

    def _adopt(self, other):
        self.origins.update(other.origins)
        self.unread.update(other.unread)
        self.environment.update(other.environment)
        self.text += other.text


def _label(contents, key):
    """'FILE (A2SG)': the file that sets a key, and the type that it names there."""
    part = contents.values[key]
    part = part.get('policy', part) if isinstance(part, dict) else {}
    kind = part.get('type') if isinstance(part, dict) else None
    return str(contents.origins[key]) + (f' ({kind})' if kind else '')


def move_data_root(values: dict, old: str, new: str) -> None:
    """Give `new` to every data set that has the top-level `data_root`: a data set may hold a copy of it."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        _replace_root(values.get(name), old, new)


def _replace_root(node, old, new):
    if isinstance(node, dict):
        if node.get('data_root') == old:
            node['data_root'] = new
        for value in node.values():
            _replace_root(value, old, new)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_root(value, old, new)


def read_together(paths: Iterable[str | Path], where: str) -> Contents:
    """What several config files set together, as if one file had them as its `_base_`.

    Args:
        paths: the files.
        where: begins the messages.

    Raises:
        ConfigError: a file has a mistake, or two files set one key.
    """
    together = Contents()
    for path in paths:
        together.add(_read(Path(path), ()), where)
    return together


def read_config(
    path: str | Path,
    methods: Sequence[str] = (),
    prepare: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None,
) -> Contents:
    """What a config file sets, with the files that it inherits from and with methods.

    Args:
        path: the file.
        methods: names or files, see `find_method`. What they set is merged over the config.
        prepare: maps what a file itself sets, {key: value}, and its path to what is merged; for names in it that are
            relative to that file.

    Raises:
        ConfigError: a file is missing or has a mistake, or two files set a key that only one may set.
    """
    contents = _read(Path(path), (), prepare)
    together = read_together(map(find_method, methods), f'methods {" and ".join(methods)}')
    for key in sorted(contents.values.keys() & together.values.keys() & METHOD_PARTS):
        raise ConfigError(
            f'{path}: {key} is set in {_label(contents, key)} already, and method {" and ".join(methods)} sets it '
            f'too, in {_label(together, key)}; leave one out'
        )
    contents.merge(together)
    return contents


def _read(path, chain, prepare=None):
    """The `Contents` of a file; `chain` holds the files that inherit from it."""
    if path in chain:
        raise ConfigError(f'{path}: _base_: this file inherits from itself')
    try:
        text = path.read_text(encoding='utf-8')
        read = _read_data if path.suffix in ('.json', '.yaml', '.yml') else _read_python
        return read(path, text, (*chain, path), prepare)
    except ConfigError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path}: it cannot be read: {error}') from error
    except Exception as error:  # a config file is a program: anything may go wrong in it
        raise ConfigError(f'{_place(error, path)}: {type(error).__name__}: {error}') from error


def _read_data(path, text, chain, prepare):
    own = load(path)
    if not isinstance(own, dict):
        raise ConfigError(f'{path}: a config must be a dictionary, got {type(own).__name__}')
    contents = _read_bases(own.pop('_base_', []), path, chain, prepare)
    contents.merge(_own_contents(own, path, text, prepare))
    return contents


def _read_python(path, text, chain, prepare):
    source = _BARE_VARIABLE.sub(r"_environment_('\2', '\3')", _BASE_VALUE.sub(r'_base_.\1', text))
    tree = ast.parse(source, str(path))
    if any(isinstance(node, ast.With) for node in tree.body):
        values = _read_lazy(path)
        return _own_contents(values, path, text, prepare, read=values)
    bases, environment = [], {}
    for node in [node for node in tree.body if isinstance(node, ast.Assign)]:
        if _is_name(node.targets[0], '_base_'):
            bases = eval(compile(ast.Expression(node.value), str(path), 'eval'), {})
            tree.body.remove(node)
    _refuse_changed_bases(tree, path)
    contents = _read_bases(bases, path, chain, prepare)

    def variable(name, default):
        environment[name] = os.environ.get(name, default)
        return ast.literal_eval(environment[name])

    scope = dict(__file__=str(path), _base_=ConfigDict(deepcopy(contents.values)), _environment_=variable)
    exec(compile(tree, str(path), 'exec'), scope)
    own = {
        key: value
        for key, value in scope.items()
        if not key.startswith('_') and not isinstance(value, (FunctionType, ModuleType, type))
    }
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_name(node.value, '_base_'):
            contents.unread.pop(node.attr, None)
    contents.merge(_own_contents(own, path, text, prepare, read, environment))
    return contents


def _refuse_changed_bases(tree, path):
    """Refuses statements on `_base_` that would have no effect: a file reads a copy of what it inherits."""
    for node in ast.walk(tree):
        changed = isinstance(getattr(node, 'ctx', None), (ast.Store, ast.Del))
        if changed and _is_name(node, '_base_'):
            raise ConfigError(
                f"{path}:{node.lineno}: _base_ must be set by a statement of its own, _base_ = ['FILE'], at the "
                'beginning of a line'
            )
        if (changed or _is_bare_call(node)) and _is_name(_root(node), '_base_'):
            raise ConfigError(
                f'{path}:{node.lineno}: a change of _base_ has no effect, because this file has a copy of it; set the '
                'key in this file, for example train_cfg = dict(max_iters=9) in place of _base_.train_cfg.max_iters = 9'
            )


def _is_bare_call(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _root(node):
    """The name with which an expression such as `a.b[c].d()` begins."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Expr)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def _read_bases(names, path, chain, prepare):
    contents = Contents()
    for name in [names] if isinstance(names, str) else names:
        file, methods = find_base(name, path)
        base = _read(file, chain, prepare)
        for method in methods:
            base.add(_read(find_method(method), chain), f'{path}: _base_')
        contents.add(base, f'{path}: _base_')
    return contents


def _own_contents(own, path, text, prepare, read=(), environment=None):
    """The `Contents` of the keys that a file sets itself."""
    environment = environment or {}
    for key in own:
        if key in _RESERVED:
            raise ConfigError(f'{path}: {key}: a config cannot have a key of this name')
    values = {key: _expand(value, path, environment) for key, value in own.items()}
    if prepare:
        values = prepare(values, path)
    unread = {key: path for key in values if key not in read}
    return Contents(values, dict.fromkeys(values, path), unread, environment, f'{path}\n{text}\n')


def _read_lazy(path):
    """The keys of a config in MMEngine's style of Python imports; classes become names."""
    values = Config.fromfile(path, import_custom_modules=False, lazy_import=True).to_dict()
    return {key: value for key, value in values.items() if not isinstance(value, (FunctionType, ModuleType, type))}


def _expand(value, path, environment):
    """A value with its environment variables and the name of its file put in."""
    if isinstance(value, str) and '{{' in value:
        for name, default in _VARIABLE.findall(value):
            environment[name] = os.environ.get(name, default)
        value = _FILE.sub(lambda found: _FILE_PARTS[found[1]](path), value)
        return _VARIABLE.sub(lambda found: environment[found[1]], value)
    if isinstance(value, dict):
        return type(value)({key: _expand(item, path, environment) for key, item in value.items()})
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_expand(item, path, environment) for item in value)
    return value


def _place(error, path):
    """FILE:LINE of a mistake in a config file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f'{path}:{error.lineno}'
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f'{path}:{lines[-1]}' if lines else str(path)
