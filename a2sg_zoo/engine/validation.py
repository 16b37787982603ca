"""The names and keys of a config, checked before anything is built."""

import inspect
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from torch.utils.data import DataLoader

from a2sg_zoo import registry
from a2sg_zoo.engine.loaders import LOADERS
from a2sg_zoo.engine.parts import HOOKS, MEMBRANE_LOSS_KEYS, PARTS
from a2sg_zoo.engine.plain_keys import PLAIN, check_keys, check_prediction, check_steps, value_at
from a2sg_zoo.engine.signatures import find_class, keys_of, parameters_of
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import web

_MODEL_KEYS = (
    'model',
    'tta_model',
    'backbone',
    'neck',
    'decode_head',
    'auxiliary_head',
    'head',
    'detection_head',
    'data_preprocessor',
    'loss',
    'membrane_loss',
    'loss_decode',
    'norm_cfg',
    'act_cfg',
    'conv_cfg',
)
_TRANSFORM_KEYS = ('pipeline', 'transforms')
_REGISTRIES = {
    **dict.fromkeys(_MODEL_KEYS, [registry.MODELS]),
    **dict.fromkeys(_TRANSFORM_KEYS, [registry.TRANSFORMS]),
    'neuron': [registry.NEURONS],
    'surrogate': [registry.SURROGATES],
    'policy': [registry.POLICIES],
    'searcher': [registry.SEARCHERS],
    'dataset': [registry.DATASETS],
    'datasets': [registry.DATASETS],
    # a dataloader's, or a loss function's sampler of pixels
    'sampler': [registry.DATA_SAMPLERS, registry.TASK_UTILS],
    'batch_sampler': [registry.DATA_SAMPLERS],
    'default_hooks': [registry.HOOKS],
    'custom_hooks': [registry.HOOKS],
    'optimizer': [registry.OPTIMIZERS],
    'optim_wrapper': [registry.OPTIM_WRAPPERS],
    'optim_method': [registry.OPTIM_WRAPPERS],
    'param_scheduler': [registry.PARAM_SCHEDULERS],
    'val_evaluator': [registry.METRICS, registry.EVALUATOR],
    'test_evaluator': [registry.METRICS, registry.EVALUATOR],
    'visualizer': [registry.VISUALIZERS],
    'vis_backends': [registry.VISBACKENDS],
    'log_processor': [registry.LOG_PROCESSORS],
    'init_cfg': [registry.WEIGHT_INITIALIZERS],
    'override': [registry.WEIGHT_INITIALIZERS],
    'model_wrapper_cfg': [registry.MODEL_WRAPPERS],
}
_LOOPS = ('train_cfg', 'val_cfg', 'test_cfg')
_ANY = list({id(r): r for group in _REGISTRIES.values() for r in group}.values())
# keys that the builder takes out before the class sees the rest
_TAKEN_BY_BUILDER = {
    **dict.fromkeys(('default_hooks', 'custom_hooks'), {'priority'}),
    'norm_cfg': {'requires_grad'},
    'init_cfg': {'override'},
    'override': {'name'},
    'optim_wrapper': {'constructor', 'paramwise_cfg'},
    'param_scheduler': {'convert_to_iter_based'},
    'plugins': {'postfix'},
    'membrane_loss': MEMBRANE_LOSS_KEYS,
}
# where the builder adds no arguments of its own
_NOTHING_ADDED = {
    'model',
    'backbone',
    'neck',
    'decode_head',
    'auxiliary_head',
    'detection_head',
    'surrogate',
    'policy',
    'searcher',
    'dataset',
    'datasets',
    'custom_hooks',
    *_TRANSFORM_KEYS,
}
# free-form contents, arguments that the enclosing class completes before it builds them, and a type that is no class
_OPAQUE = {'metainfo', 'data_prefix', 'meta', 'dcn', 'clip_grad'}
# classes whose parts are named in a library of their own
_SELF_CONTAINED = {'Albu'}
_LOADER_KEYS = parameters_of(DataLoader) | {'num_batch_per_epoch', 'disable_subprocess_warning'}
# kinds of the parts that are not dictionaries
_KINDS = {
    **dict.fromkeys(('param_scheduler', 'val_evaluator', 'test_evaluator'), (dict, list, tuple)),
    **dict.fromkeys(('custom_hooks', 'tta_pipeline'), (list, tuple)),
    **dict.fromkeys(('work_dir', 'load_from', 'launcher', 'default_scope', 'experiment_name', 'data_root'), (str,)),
    **dict.fromkeys(('runner_type', 'sync_bn'), (str,)),
    **dict.fromkeys(('resume', 'channels_last', 'find_unused_parameters'), (bool,)),
    **dict.fromkeys(('compile', 'sharding', 'ema'), (bool, dict)),
    'log_level': (str, int),
    'num_classes': (int,),
    'classes': (list, tuple),
    'frozen': (str, list, tuple),
}
_WORDS = {
    dict: 'a dictionary',
    list: 'a list',
    tuple: 'a tuple',
    str: 'a text',
    bool: 'True or False',
    int: 'an integer',
}
# parts within others that must be dictionaries
_DICTIONARIES = {
    *(
        'backbone',
        'neck',
        'decode_head',
        'head',
        'detection_head',
        'neuron',
        'surrogate',
        'policy',
        'searcher',
        'dataset',
        'optimizer',
    ),
    *('default_hooks', 'custom_hooks', 'pipeline', 'vis_backends', 'param_scheduler', 'sampler'),
}
# what MMEngine builds of a part without a type
_DEFAULT_TYPES = dict(
    log_processor='LogProcessor',
    optim_wrapper='OptimWrapper',
    model_wrapper_cfg='MMDistributedDataParallel',
    train_cfg='EpochBasedTrainLoop',
    val_cfg='ValLoop',
    test_cfg='TestLoop',
)
_REQUIRED = dict(membrane_loss={'type', 'weight'}, loss={'type'}, optim_method={'type'})
# they are checked when they are merged or used
_UNCHECKED = {'demo', 'search', 'neuron', 'compile'}


def validate_config(cfg: Config, where: str | None = None) -> None:
    """Check every name and key of a config. Nothing is built.

    Args:
        cfg: a config.
        where: begins the message; by default the file of the config.

    Raises:
        ConfigError: the message lists each name that is not registered, each key that its class does not take, and
            each key that is certainly missing.
    """
    problems = []
    for key, value in cfg.items():
        if key in PARTS:
            _check_part(key, value, problems)
        else:
            problems.append(f'{key}: {explain_unread(cfg, key)}')
    check_steps(cfg.get('optim_wrapper'), problems)
    check_prediction(cfg.get('model'), problems)
    _check_frames(cfg, problems)
    _refuse_credentials(dict(cfg.items()), 'config', problems)
    for option in ('recompute', 'time_chunk'):
        if cfg.get('compile') and value_at(cfg, 'model', 'backbone', option):
            problems.append(
                f'compile: a backbone under activation checkpointing (model.backbone.{option}) cannot be compiled as a '
                'whole; leave out one of the two'
            )
    raise_problems(problems, where or getattr(cfg, 'filename', None))


def check_kinds(cfg: Mapping[str, Any], where: str | None = None) -> None:
    """Check that every part of a config is of the kind that it must be: a dictionary, a list, a text.

    Raises:
        ConfigError: the message lists the parts that are not.
    """
    problems = []
    for key, value in cfg.items():
        kinds = _KINDS.get(key, (dict,)) if key in PARTS else (object,)
        if value is not None and not isinstance(value, kinds) or isinstance(value, bool) and bool not in kinds:
            wanted = ' or '.join(_WORDS[kind] for kind in kinds)
            problems.append(f'{key} must be {wanted}, got {value!r:.200}')
    if isinstance(cfg.get('default_scope'), str) and find_spec(cfg['default_scope'].partition('.')[0] or '_') is None:
        problems.append(f'default_scope = {cfg["default_scope"]!r} is no package')
    level = cfg.get('log_level')
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        problems.append(f'log_level must be DEBUG, INFO, WARNING or ERROR, got {level!r}')
    raise_problems(problems, where)


def raise_problems(problems: list[str], where: str | None) -> None:
    """Raise one ConfigError with all the problems that were found, if there are any."""
    if problems:
        where = f'{where}: ' if where else ''
        if len(problems) == 1:
            raise ConfigError(where + problems[0])
        raise ConfigError(f'{where}{len(problems)} mistakes in the config:' + ''.join(f'\n    {p}' for p in problems))


def explain_unread(cfg: Mapping[str, Any], key: str) -> str:
    """What to say of a top-level key that no part of a run has: where such a key or value stands.

    Args:
        cfg: a config with that key.
        key: the key.
    """
    written = '.'.join([key, *_first_leaf(cfg[key])])
    paths = ['.'.join(path) for path in _paths({k: v for k, v in cfg.items() if k in PARTS - {'demo', 'search'}})]
    near = get_close_matches(key, PARTS, n=1, cutoff=0.88)
    for ending in (written, written.partition('.')[2]):
        near = near or [path for path in paths if ending and f'.{path}'.endswith(f'.{ending}')]
    hint = f'did you mean {" or ".join(near[:4])}?' if near else 'a name of your own begins with an underscore'
    return f'nothing reads this key; {hint}'


def _first_leaf(value):
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        yield str(key)


def _paths(node, path=()):
    """The paths of all keys in a config."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, str(key))
        if isinstance(value, (dict, list, tuple)):
            yield from _paths(value, (*path, str(key)))


def _check_part(key, value, problems):
    if key in _UNCHECKED:
        return
    accepted = _ema_keys(value) if key == 'ema' else None
    if accepted is not None and isinstance(value, dict):
        check_keys(value, key, key, accepted, problems)
    for name in _REQUIRED.get(key, ()):
        if isinstance(value, dict) and name not in value:
            problems.append(f'{key}: it needs the key {name}')
    policy = value.get('policy', {}) if key == 'adaptation' and isinstance(value, dict) else None
    if isinstance(policy, dict) and 'type' not in policy:
        problems.append('adaptation.policy: no method chooses a policy; add one, such as --method a2sg')
    _walk(value, key, key, problems)


def _ema_keys(ema):
    """The keys of MMEngine's hook and of the average that it makes; None where they are not known."""
    kind = ema.get('ema_type', 'ExponentialMovingAverage') if isinstance(ema, dict) else None
    average = registry.MODELS.get(kind) if isinstance(kind, str) else None
    accepted = keys_of(average)[0] if average is not None else None
    return accepted and accepted - {'model'} | set(inspect.signature(HOOKS['ema']).parameters) - {'kwargs'}


def _refuse_credentials(node, path, problems):
    """A config is written into logs and checkpoints, and MMEngine prints the addresses of weights."""
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        below = f'{path}.{key}'.removeprefix('config.')
        if isinstance(value, (Mapping, list, tuple)):
            _refuse_credentials(value, below, problems)
        elif isinstance(value, str) and web.has_credentials(value):
            problems.append(
                f'{below} = {web.shown(value)} has a user or a password, which logs and checkpoints would show; leave '
                'them out of the address, and put them into ~/.netrc'
            )


def _check_frames(cfg, problems):
    """Event frames, and the symbols of a text, are the time steps: a data set must have as many as the backbone."""
    steps = value_at(cfg, 'model', 'backbone', 'T')
    kinds = dict(T='frames')
    if str(value_at(cfg, 'model', 'type')).rpartition('.')[2] == 'LanguageModel':
        kinds['length'] = 'symbols'  # the length of other data sets is what their authors mean by it
    for name in LOADERS:
        for key, kind in kinds.items():
            found = value_at(cfg, name, 'dataset', key)
            if None not in (steps, found) and found != steps:
                problems.append(
                    f'{name}.dataset.{key}: a sample has {found} {kind}, but the network runs model.backbone.T = '
                    f'{steps} time steps; give both the same number'
                )


def _walk(node, path, key, problems):
    """Checks a part of the config; `key` is the name that decides its registry."""
    if isinstance(node, dict):
        if path in LOADERS:
            check_keys(node, path, 'a dataloader', _LOADER_KEYS, problems)
        if path in PLAIN:
            check_keys(node, path, path, PLAIN[path], problems)
        if path == 'default_hooks':
            _check_types(node, path, problems)
        if 'type' in node or path in _DEFAULT_TYPES and 'constructor' not in node:
            _check(node, path, key, problems)
            if str(node.get('type')) in _SELF_CONTAINED:
                return
        for name, value in node.items():
            if name not in _OPAQUE:
                # default_hooks = dict(NAME=hook, ...)
                _walk(value, f'{path}.{name}', key if path == 'default_hooks' else name, problems)
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            _walk(value, f'{path}.{i}', key, problems)
    elif key in _DICTIONARIES and isinstance(node, (int, float, str)):
        problems.append(f'{path} must be a dictionary with a type, got {node!r:.200}')


def _check_types(hooks, path, problems):
    typed = [name for name, hook in hooks.items() if isinstance(hook, dict) and 'type' in hook]
    for name, hook in hooks.items():
        if isinstance(hook, dict) and 'type' not in hook:
            near = get_close_matches(name, typed, n=1)
            hint = f'did you mean {path}.{near[0]}?' if near else f'there are {", ".join(typed) or "none"}'
            problems.append(f'{path}.{name}: a hook without a type; {hint}')


def _check(node, path, key, problems):
    target, taken = node.get('type') or _DEFAULT_TYPES.get(path), _TAKEN_BY_BUILDER.get(key, set())
    if path == 'train_cfg' and 'type' not in node:
        taken = {'by_epoch'}
        if not node.get('by_epoch', True):
            target = 'IterBasedTrainLoop'
        elif 'by_epoch' not in node:
            problems.append('train_cfg: it needs the key type, or by_epoch')
    if isinstance(target, str):
        registries = [registry.LOOPS] if path in _LOOPS else _REGISTRIES.get(key)
        target = find_class(target, registries or _ANY)
        if target is None:
            problems.append(f'{path}.type: {_unknown(node["type"], registries)}')
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        return
    accepted, required = keys_of(target)
    if accepted is not None:
        check_keys(node, path, target.__name__, accepted | taken, problems)
    if key in _NOTHING_ADDED:
        problems.extend(f'{path}: {target.__name__} needs the key {name}' for name in sorted(required - node.keys()))


def _unknown(name, registries):
    named = [r for r in registries or [] if isinstance(r, registry.Registry)]
    if named:
        return named[0].unknown(name)
    kind = f'registered {registries[0].name}' if registries else 'registered name'
    known = {known for r in registries or _ANY for known in registry.Registry.names(r)}
    near = get_close_matches(name, known, n=3)
    return f'{name!r} is not a {kind}' + (f'; did you mean {" or ".join(map(repr, near))}?' if near else '')
