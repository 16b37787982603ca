"""From the name of a config to the complete, checked config of a run."""

import importlib
import traceback
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo import registry
from a2sg_zoo.engine.config_files import Contents, move_data_root, read_config
from a2sg_zoo.engine.config_names import find_config
from a2sg_zoo.engine.parts import PARTS, complete
from a2sg_zoo.engine.runner import HOOK_NAMES
from a2sg_zoo.engine.signatures import import_name
from a2sg_zoo.engine.validation import check_kinds, explain_unread, validate_config
from a2sg_zoo.engine.values import check_values
from a2sg_zoo.errors import ConfigError

# what earlier versions wrote, and what stands for it now
_OLD_HOOKS = dict(
    AdaptationHook='adaptation = dict(policy=..., log_interval=...)',
    MembraneLoss='membrane_loss = dict(type=..., weight=..., growth=...)',
    ShardingHook='sharding = dict(units=...)',
)
_OLD_METHOD = 'neuron = dict(...), loss = dict(type=...) or optim_method = dict(type=...)'


def load_config(
    path: str | Path, options: Mapping[str, Any] | None = None, demo: bool = False, methods: Sequence[str] = ()
) -> Config:
    """Read a config, merge a demo and overrides into it, complete it, and check it.

    Args:
        path: file or name of a config, see `find_config`.
        options: overrides, {dotted key: value}.
        demo: merge what the config has under `demo` first.
        methods: names or files of methods, see `find_method`.

    Returns:
        The config. It has the parts of a run alone: variables of the file are left out.

    Raises:
        ConfigError: a file is missing or has a mistake, or a key or value does not fit; the message names it.

    Example:
        >>> cfg = load_config('resnet18_cifar10', {'adaptation.policy.interval': 1}, methods=['a2sg', 'sam'])
        >>> cfg.adaptation.policy.type, cfg.optim_wrapper.type, cfg.model.head.num_classes
        ('A2SG', 'SAMOptimWrapper', 10)
    """
    file, named = find_config(path)
    methods = [*named, *methods]
    name = '_'.join([file.stem, *(Path(method).stem for method in methods)])
    return compose_config(read_config(file, methods), file.with_name(name + file.suffix), options, demo, file)


def compose_config(
    contents: Contents,
    filename: str | Path,
    options: Mapping[str, Any] | None = None,
    demo: bool = False,
    where: str | Path | None = None,
) -> Config:
    """Make the complete, checked config of what some files set.

    Args:
        contents: of the files.
        filename: of the config. There need not be such a file; a run's copy of its config gets this name.
        options: overrides, {dotted key: value}.
        demo: merge what the config has under `demo` first.
        where: begins the messages; by default the filename.

    Raises:
        ConfigError: a key or value does not fit; the message names it.
    """
    file = where or filename
    _refuse_old_layout(contents.values, file)
    _refuse_unread(contents)
    cfg = Config(
        {key: value for key, value in contents.values.items() if key in PARTS},
        cfg_text=contents.text,
        filename=str(filename),
        env_variables=contents.environment,
        # a second of every start
        format_python_code=False,
    )
    if demo:
        if 'demo' not in cfg:
            raise ConfigError(f'{file} describes no demo; add a dictionary `demo` of what differs in one')
        _merge(cfg, cfg.demo.to_dict(), f'{file}: demo')
    _merge(cfg, options or {}, 'override')
    import_modules(cfg.get('custom_imports'), file)
    check_kinds(cfg, str(file))
    _name_classes(cfg)
    complete(cfg, set(options or ()))
    _drop_delete_keys({key: value for key, value in cfg.items() if key != 'demo'})
    validate_config(cfg, str(file))
    check_values(cfg, str(file))
    return cfg


def _refuse_old_layout(values, where):
    hooks = [*_dicts(values.get('custom_hooks')), *_dicts((values.get('default_hooks') or {}).values())]
    for hook in hooks:
        if hook.get('type') in _OLD_HOOKS:
            raise ConfigError(
                f'{where}: {hook["type"]} in custom_hooks or default_hooks is the layout of earlier versions; write '
                f'{_OLD_HOOKS[hook["type"]]} in its place'
            )
    if 'method' in values:
        raise ConfigError(f'{where}: method is the layout of earlier versions; write {_OLD_METHOD} in its place')


def _dicts(values):
    return [value for value in values or () if isinstance(value, dict)]


def _refuse_unread(contents: Contents):
    for key, file in contents.unread.items():
        # configs of other packages have some
        if key not in PARTS and '.mim' not in file.parts:
            raise ConfigError(f'{file}: {key}: {explain_unread(contents.values, key)}')


def _merge(cfg, options, where):
    """Merge overrides into a config, one after the other."""
    for key, value in options.items():
        old = cfg.get('data_root')
        if key.startswith('custom_hooks.') and not cfg.get('custom_hooks'):
            raise ConfigError(
                f'{where} {key}: this config has no custom_hooks. A policy is set by adaptation.policy..., a loss on '
                'membrane potentials by membrane_loss...'
            )
        hook, known = key.removeprefix('default_hooks.'), {*(cfg.get('default_hooks') or ()), *HOOK_NAMES}
        if value is None and hook != key and '.' not in hook and hook not in known:
            raise ConfigError(
                f'{where} {key}: there is no such hook to leave out; there are {", ".join(sorted(known))}'
            )
        try:
            cfg.merge_from_dict({key: deepcopy(value)})
        except (KeyError, TypeError, IndexError, ValueError, AttributeError, AssertionError) as error:
            raise ConfigError(f'{where} {key}: {error.args[0] if error.args else error}') from error
        if old is not None and cfg.data_root != old:
            move_data_root(cfg, old, cfg.data_root)


def _name_classes(node):
    """Put names in place of the classes and functions that a config gives as `type`, registered ones if there are."""
    for key, value in node.items() if hasattr(node, 'items') else enumerate(node):
        if key == 'type' and (callable(value) or isinstance(value, str) and '.' in value):
            node[key] = _name_of(value)
        elif isinstance(value, (dict, list, tuple)):
            _name_classes(value)


def _name_of(value):
    full = value if isinstance(value, str) else f'{value.__module__}.{value.__qualname__}'
    value = import_name(value) if isinstance(value, str) else value
    name = getattr(value, '__name__', '')
    return name if name and any(r.module_dict.get(name) is value for r in _all_registries()) else full


def _all_registries():
    """The registries of this project and of its parents; asking them imports nothing."""
    for own in vars(registry).values():
        if isinstance(own, registry.Registry):
            yield own
            if own.parent is not None:
                yield own.parent
                yield from own.parent.children.values()


def _drop_delete_keys(node):
    """MMEngine leaves `_delete_` in a dictionary that had nothing to delete."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict):
            value.pop('_delete_', None)
        if isinstance(value, (dict, list, tuple)):
            _drop_delete_keys(value)


def import_modules(custom_imports: Mapping[str, Any] | None, where: str | Path) -> None:
    """Import the modules that a config names in `custom_imports`.

    Args:
        custom_imports: dict(imports=NAME or [NAME], allow_failed_imports=False).
        where: begins the messages.

    Raises:
        ConfigError: a module is missing or fails; the message names it, and what is missing or where it fails.
    """
    if not custom_imports:
        return
    where = f'{where}: custom_imports'
    if not isinstance(custom_imports, Mapping) or custom_imports.keys() - {'imports', 'allow_failed_imports'}:
        raise ConfigError(f'{where} must be dict(imports=[MODULE, ...]), got {custom_imports!r}')
    names = custom_imports.get('imports') or []
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise ConfigError(f'{where}.imports must be names of modules, got {name!r}')
        try:
            importlib.import_module(name)
        except Exception as error:  # a module is a program: anything may go wrong in it
            if not (custom_imports.get('allow_failed_imports') and isinstance(error, ImportError)):
                raise ConfigError(f'{where}.imports: {_import_failure(name, error)}') from error


def _import_failure(name, error):
    if isinstance(error, ModuleNotFoundError) and error.name and f'{name}.'.startswith(f'{error.name}.'):
        return (
            f'there is no module {error.name!r}. Where its file is in the working folder, run the command with '
            'PYTHONPATH=. before it'
        )
    if isinstance(error, ModuleNotFoundError):
        return f'module {name!r} imports {error.name!r}, which is not installed'
    if isinstance(error, SyntaxError):
        return f'module {name!r}: {error.filename}:{error.lineno}: SyntaxError: {error.msg}'
    if isinstance(error, (TypeError, ValueError)) and not error.__traceback__.tb_next.tb_next:
        return f'{name!r} is no name of a module: {error}'
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith('<frozen')]
    # the line of the user's module, not of the library that it calls
    root = name.partition('.')[0]
    own = [f for f in frames[1:] if root in Path(f.filename).parts or Path(f.filename).stem == name.rpartition('.')[2]]
    place = f'{own[-1].filename}:{own[-1].lineno}: ' if own else ''
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'module {name!r}: {place}{type(error).__name__}: {message}'
