"""The values of a config, tried on the classes that will get them, before data is read.

A class knows best what it takes. So the small parts of a run (optimizer, schedules, hooks, transforms, loaders)
are built once with the values of the config, and what a class refuses is told with the key of the value. A table of
ranges holds what no class checks, and bounds of what would take all memory or time.
"""

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, get_args

import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from a2sg_zoo import registry
from a2sg_zoo.engine.loaders import LOADERS
from a2sg_zoo.engine.misfits import misfits
from a2sg_zoo.engine.parts import hooks_of
from a2sg_zoo.engine.schedules import schedules_of
from a2sg_zoo.engine.signatures import import_name, parameter_of
from a2sg_zoo.engine.validation import raise_problems
from a2sg_zoo.engine.walk import leaves, listed
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError
from a2sg_zoo.hub.description import MOST_TIME_STEPS, require_bounded
from a2sg_zoo.utils.checks import is_integer, is_number

# Classes of these packages are built to try them. Others may do more in a constructor than to keep their arguments.
_TRIED = ('a2sg_zoo', 'mmengine', 'mmcv', 'mmseg', 'torchvision', 'torch.optim')
_LOADER_KEYS = (
    'batch_size',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'drop_last',
    'timeout',
    'prefetch_factor',
)
_SEEDS = 2**32 - 1
_IOU_METRICS = {'mIoU', 'mDice', 'mFscore'}
# (pattern of the dotted key, least and largest integer, None for no largest); None is a value where a class takes it
_INTEGERS = [
    (r'\w+_dataloader\.batch_size', 1, 65_536),
    (r'\w+_dataloader\.num_workers', 0, 1_024),
    (r'\w+_dataloader\.(.*\.)?dataset\.size', 1, 8_192),
    (r'\w+_dataloader\.(.*\.)?dataset\.T', 1, MOST_TIME_STEPS),
    (r'\w+_dataloader\.(.*\.)?dataset\.times', 1, 1_000_000),
    (r'train_cfg\.(max_iters|max_epochs|val_interval)', 1, None),
    (r'train_cfg\.val_begin', 0, None),
    (r'optim_wrapper\.accumulative_counts', 1, 1_000_000),
    (r'ema\.interval', 1, None),
    (r'ema\.begin_(iter|epoch)', 0, None),
    (r'randomness\.seed', 0, _SEEDS),
    (r'adaptation\.log_interval', 1, None),
    (r'default_hooks\.(timer|logger|param_scheduler|progress)\.interval', 1, None),
    (r'num_classes', 1, 65_536),
    (r'.*\.pipeline\.\d+\.padding', 0, 8_192),
]
# integers of this project's networks, alone or in lists
_NETWORK = re.compile(
    r'model\.(backbone|neck|head|decode_head|detection_head)\.'
    r'(T|depths?|widths|stem|embed_dims|num_heads|in_channels|out_channels|channels|hidden|grid|num_classes|neuron\.levels)'
)
# (pattern of the dotted key, whether a number is in range, what it must be)
_NUMBERS: list[tuple[str, Callable[[float], bool], str]] = [
    (r'optim_wrapper\.clip_grad\.(max_norm|clip_value)', lambda x: x > 0, 'above 0'),
    (r'optim_wrapper\.paramwise_cfg\.(.*\.)?\w+_mult', lambda x: x >= 0, 'at least 0'),
    (r'membrane_loss\.weight', lambda x: x >= 0, 'at least 0'),
    (r'ema\.momentum', lambda x: 0 < x < 1, 'between 0 and 1'),
    (r'(model\.head\.)?loss\.(label_smoothing|regularization)', lambda x: 0 <= x <= 1, 'from 0 to 1'),
]


def check_values(cfg: Config, where: str | None = None) -> None:
    """Check the values of a config. No network is built, and no data is read.

    Args:
        cfg: a config that `validate_config` accepts.
        where: begins the message.

    Raises:
        ConfigError: the message lists each value that is refused, with its key.
    """
    problems = [*_out_of_range(cfg), *_network_out_of_bounds(cfg), *misfits(cfg)]
    if not problems:
        problems = [*_refused(cfg)]
    raise_problems(problems, where)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _out_of_range(cfg):
    for key, value in leaves({key: value for key, value in cfg.items() if key not in ('demo', 'search')}):
        if any(isinstance(x, float) and not math.isfinite(x) for x in _flat(value)):
            yield f'{key} = {value!r} is not a finite number'
            continue
        for pattern, least, most in _INTEGERS:
            if re.fullmatch(pattern, key) and value is not None:
                if not all(is_integer(x) and least <= x <= (most or x) for x in _flat(value)):
                    wanted = f'from {least:,} to {most:,}' if most else f'of at least {least}'
                    yield f'{key} must be an integer {wanted}, got {value!r}'
        for pattern, fits, wanted in _NUMBERS:
            if re.fullmatch(pattern, key) and value is not None:
                if not is_number(value) or not fits(value):
                    yield f'{key} must be a number {wanted}, got {value!r}'


def _network_out_of_bounds(cfg):
    model = cfg.get('model')
    if not isinstance(model, Mapping):
        return
    ours = {name: part for name, part in model.items() if _tried(registry.MODELS, part, 'a2sg_zoo')}
    if not ours and not _tried(registry.MODELS, model, 'a2sg_zoo'):
        return  # the bounds are those of this project's networks
    try:
        require_bounded(model, 'model')
    except CheckpointError as error:
        yield str(error)
    for name, part in ours.items():
        for key, value in leaves(part, f'model.{name}'):
            if _NETWORK.fullmatch(key) and value is not None:
                least = 0 if key.endswith('.depths') else 1  # a stage may have no block; networks that need one say so
                if not all(is_integer(x) and x >= least for x in _flat(value)):
                    yield f'{key} must be made of integers of at least {least}, got {value!r}'


def _tried(parts: Any, node: Any, packages: str | tuple[str, ...] = _TRIED) -> bool:
    """Whether a config is of a class that may be built to try it."""
    kind = node.get('type') if isinstance(node, Mapping) else None
    if not isinstance(kind, str):
        return False
    target = (import_name(kind) if '.' in kind else None) or parts.get(kind)
    return inspect.isclass(target) and f'{target.__module__}.'.startswith(_prefixes(packages))


def _prefixes(packages):
    return tuple(f'{name}.' for name in ([packages] if isinstance(packages, str) else packages))


# what classes refuse


def _refused(cfg):
    for name in LOADERS:
        yield from _refused_by_loader(cfg.get(name), name)
    yield from _refused_by_optimizer(cfg)
    for key, node in _hooks(cfg):
        yield from _try(key, node, lambda arguments: registry.HOOKS.build(arguments), registry.HOOKS, {'priority'})
    try:
        hooks_of(cfg)
    except ConfigError as error:
        yield str(error)
    for name in ('val_evaluator', 'test_evaluator'):
        for key, node in listed(cfg.get(name), name):
            scores = node.get('iou_metrics') if isinstance(node, Mapping) else None
            if unknown := {*([scores] if isinstance(scores, str) else scores or ())} - _IOU_METRICS:
                yield f'{key}.iou_metrics has {", ".join(map(repr, unknown))}; it takes {", ".join(_IOU_METRICS)}'


def refused_by_network(model: Any) -> Iterator[str]:
    """What the parts of a network that cannot be built refuse, with their keys.

    Args:
        model: the config of the network.
    """
    for name, part in model.items() if isinstance(model, Mapping) else ():
        for key, node in listed(part, f'model.{name}'):
            if isinstance(node, Mapping) and 'type' in node:
                yield from _blame(key, node, registry.MODELS.build)


def _hooks(cfg):
    for name, node in (cfg.get('default_hooks') or {}).items():
        yield f'default_hooks.{name}', node
    yield from listed(cfg.get('custom_hooks'), 'custom_hooks')


def _refused_by_loader(loader, name):
    if not isinstance(loader, Mapping):
        return
    if loader.get('batch_size', 1) is None and loader.get('batch_sampler') is None:
        yield f'{name}.batch_size = None: a loader without batches; set it to an integer of at least 1'
        return
    arguments = {key: loader[key] for key in _LOADER_KEYS if key in loader}
    yield from _blame(name, arguments, lambda arguments: DataLoader([0], **arguments))
    dataset = loader.get('dataset')
    while isinstance(dataset, Mapping):
        for key, step in listed(dataset.get('pipeline'), f'{name}.dataset.pipeline'):
            yield from _try(key, step, registry.TRANSFORMS.build, registry.TRANSFORMS)
        dataset = dataset.get('dataset')


def _refused_by_optimizer(cfg):
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, Mapping) or not isinstance(wrapper.get('optimizer'), Mapping):
        return
    key = 'optim_wrapper.optimizer'
    if not _tried(registry.OPTIMIZERS, wrapper['optimizer'], ('torch.optim', 'a2sg_zoo')):
        return
    optimizers = []

    def build(arguments):
        parameters = [torch.nn.Parameter(torch.zeros(1))]
        optimizers.append(registry.OPTIMIZERS.build(dict(arguments, params=parameters)))

    refusals = [*_blame(key, wrapper['optimizer'], build)]
    yield from refusals
    if refusals:
        return
    rest = {name: x for name, x in wrapper.items() if name not in ('optimizer', 'constructor', 'paramwise_cfg')}
    rest.setdefault('type', 'OptimWrapper')
    if 'constructor' not in wrapper:
        yield from _try(
            'optim_wrapper',
            rest,
            lambda arguments: registry.OPTIM_WRAPPERS.build(dict(arguments, optimizer=optimizers[0])),
            registry.OPTIM_WRAPPERS,
        )
    for key, node in listed(schedules_of(cfg), 'param_scheduler'):
        yield from _try(
            key,
            node,
            lambda arguments: registry.PARAM_SCHEDULERS.build(dict(arguments, optimizer=optimizers[0])),
            registry.PARAM_SCHEDULERS,
            {'convert_to_iter_based'},
        )


def _try(key, node, build, parts, taken=()):
    if _tried(parts, node):
        arguments = {name: value for name, value in node.items() if name not in taken}
        yield from _blame(key, arguments, build, parts.get(node['type']))


def _blame(
    key: str, arguments: Mapping[str, Any], build: Callable[[dict], Any], build_target: Any = None
) -> Iterator[str]:
    """Build an object; where that fails, say what was refused and which argument is to blame."""
    for name, value in _texts_for_numbers(build_target, arguments):
        yield f'{key}.{name} must be a number, got {value!r}'
        return
    error = _failure(build, arguments)
    if error is None or isinstance(error, RuntimeError) and _same(error, _failure(build, _without_values(arguments))):
        return  # in the second case the class needs more of a run than its own values, and cannot be tried
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    said = str(said).strip().splitlines() or [type(error).__name__]
    if isinstance(error, A2SGError):
        yield f'{key}: {error}'
        return
    names = [name for name in arguments if name != 'type']
    guilty = [name for name in names if re.search(rf'\b{name}\b', said[0])]
    if len(guilty) != 1:
        guilty = [n for n in names if _failure(build, {k: v for k, v in arguments.items() if k != n}) is None] or guilty
    guilty = guilty or [n for n in names if any(isinstance(x, (int, float)) and x < 0 for x in _flat(arguments[n]))]
    if len(guilty or names) == 1:
        (name,) = guilty or names
        yield f'{key}.{name} = {arguments[name]!r}: {said[0][:300]}'
    else:
        yield f'{key} ({", ".join(f"{name}={arguments[name]!r:.60}" for name in guilty or names)}): {said[0][:300]}'


def _without_values(arguments):
    return {name: value for name, value in arguments.items() if name == 'type'}


def _same(error, other):
    return type(error) is type(other) and str(error) == str(other)


def _texts_for_numbers(target, arguments):
    """(argument, value) of the texts that a class was given in place of numbers, by its annotations."""
    for name, value in arguments.items():
        annotation = getattr(parameter_of(target, name), 'annotation', None)
        kinds = {*get_args(annotation)} or {annotation}
        if isinstance(value, str) and kinds <= {int, float, type(None), 'int', 'float', 'int | None', 'float | None'}:
            yield name, value


def _failure(build, arguments):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # they are said again when the part is built
            build(deepcopy(dict(arguments)))
    except Exception as error:  # a constructor that was given anything
        return error
    return None
