"""Values of a config that do not fit each other, found before anything is built."""

import inspect
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import EMAHook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from a2sg_zoo import registry
from a2sg_zoo.engine.metrics.score_names import score_names
from a2sg_zoo.engine.parts import HEADS
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.engine.signatures import default_of
from a2sg_zoo.engine.walk import leaves, listed
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.utils.checks import is_integer

# parts that a run has all of, or none
_TOGETHER = {
    'train_dataloader': ('train_cfg', 'optim_wrapper'),
    'val_dataloader': ('val_cfg', 'val_evaluator'),
    'test_dataloader': ('test_cfg', 'test_evaluator'),
}


def misfits(cfg: Config) -> Iterator[str]:
    """Say which values of a config do not fit each other, with their keys.

    Args:
        cfg: a config that `validate_config` accepts.
    """
    yield from _frozen_by_rate(cfg)
    yield from _endless(cfg)
    yield from _uncounted_epochs(cfg)
    yield from _class_weights(cfg)
    yield from _unknown_scores(cfg)
    yield from _averaged_shards(cfg)
    yield from _late_averages(cfg)
    yield from _wrong_intervals(cfg)
    yield from _unaveraged_time(cfg)


def missing_parts(cfg: Config) -> Iterator[str]:
    """Say which parts a run cannot do without, beside those that it has.

    Args:
        cfg: a config.
    """
    for loader, others in _TOGETHER.items():
        missing = [name for name in (loader, *others) if cfg.get(name) is None]
        if 0 < len(missing) <= len(others):
            given = [name for name in (loader, *others) if name not in missing]
            yield (
                f'{" and ".join(missing)}: not set, but {" and ".join(given)} '
                f'{"is" if len(given) == 1 else "are"}; set all of them, or each of them to None'
            )


def require_parts(cfg: Config, loader: str, purpose: str) -> None:
    """Require the parts that a training or a test cannot do without.

    Args:
        cfg: a config.
        loader: one of these parts, such as 'train_dataloader'.
        purpose: what needs them, for the message.

    Raises:
        ConfigError: parts are not set; the message names them.
    """
    missing = [name for name in ('model', loader, *_TOGETHER[loader]) if cfg.get(name) is None]
    if missing:
        raise ConfigError(f'{cfg.filename}: {" and ".join(missing)}: not set, and {purpose} needs them; set them')


def _frozen_by_rate(cfg):
    keys = ((cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}).get('custom_keys') or {}
    for name, options in keys.items() if isinstance(keys, Mapping) else ():
        if isinstance(options, Mapping) and options.get('lr_mult') == 0:
            yield (
                f'optim_wrapper.paramwise_cfg.custom_keys.{name}.lr_mult = 0 does not freeze: schedules lift the rate, '
                f'and norms go on counting. Set frozen = [{name!r}] instead'
            )


def _endless(cfg):
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    if _counts_epochs(cfg) and _is_a(registry.DATA_SAMPLERS, sampler, (InfiniteSampler, ResumableSampler)):
        yield (
            f'train_cfg: an epoch never ends with train_dataloader.sampler.type = {sampler["type"]!r}; set that to '
            "'ResumableEpochSampler'"
        )


def _counts_epochs(cfg):
    loop = cfg.get('train_cfg') or {}
    return loop.get('by_epoch') or _is_a(registry.LOOPS, loop, EpochBasedTrainLoop)


def _uncounted_epochs(cfg):
    """A loop over iterations has one epoch, at whose end the training ends, too."""
    loop = cfg.get('train_cfg') or {}
    if _counts_epochs(cfg) or not (loop.get('by_epoch') is False or _is_a(registry.LOOPS, loop, IterBasedTrainLoop)):
        return
    schedules = cfg.get('param_scheduler')
    # several optimisers have a list each
    groups = schedules if isinstance(schedules, Mapping) and 'type' not in schedules else {'': schedules}
    for name, group in groups.items():
        for key, node in listed(group, f'param_scheduler.{name}' if name else 'param_scheduler'):
            if isinstance(node, Mapping) and node.get('by_epoch', True) and not _steps_without_epochs(node):
                yield (
                    f'{key}.by_epoch: train_cfg counts iterations, so {node.get("type")} would never take a step; set '
                    'it to False, and give begin, end and milestones in iterations'
                )
    hook = (cfg.get('default_hooks') or {}).get('checkpoint')
    kind = _class_of(registry.HOOKS, hook)
    if kind and hook.get('interval', -1) != -1 and hook.get('by_epoch', default_of(kind, 'by_epoch')):
        yield (
            'default_hooks.checkpoint.by_epoch: train_cfg counts iterations, so no checkpoint would be saved before '
            'the last; set it to False'
        )


def _steps_without_epochs(schedule):
    if schedule.get('convert_to_iter_based'):
        return 'end' in schedule  # by default it ends after one epoch
    # a schedule by scores takes a step at each evaluation
    return _is_a(registry.PARAM_SCHEDULERS, schedule, ReduceOnPlateauParamScheduler)


def _is_a(parts, node, kind):
    target = _class_of(parts, node)
    return inspect.isclass(target) and issubclass(target, kind)


def _class_of(parts, node):
    return parts.get(node['type']) if isinstance(node, Mapping) and isinstance(node.get('type'), str) else None


def _class_weights(cfg):
    for name in HEADS:
        for path, head in listed((cfg.get('model') or {}).get(name), f'model.{name}'):
            number = head.get('num_classes') if isinstance(head, Mapping) else None
            for key, value in leaves(head, path) if number is not None else ():
                if key.endswith('.class_weight') and isinstance(value, (list, tuple)) and len(value) != number:
                    yield f'{key} has {len(value)} numbers for {number} classes'


def _unknown_scores(cfg):
    names = score_names(cfg.get('val_evaluator'))
    best = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')
    if names is not None:
        hooks = [hook for _, hook in listed(cfg.get('custom_hooks'), 'custom_hooks')]
        names += [name for hook in hooks for name in getattr(_class_of(registry.HOOKS, hook), 'score_names', ())]
    for name in [best] if isinstance(best, str) else best or ():
        if names is not None and not any(fnmatch(str(name), pattern) for pattern in names):
            yield (
                f'default_hooks.checkpoint.save_best = {name!r}: an evaluation does not give it; it gives '
                f'{", ".join(names)}'
            )


def _averaged_shards(cfg):
    averages = ['ema'] if cfg.get('ema') not in (None, False) else []
    averages += [
        key for key, hook in listed(cfg.get('custom_hooks'), 'custom_hooks') if _is_a(registry.HOOKS, hook, EMAHook)
    ]
    if averages and cfg.get('sharding') not in (None, False):
        yield f'{averages[0]}: no average (EMA) can be kept of sharded weights; leave out this part, or sharding'


def _late_averages(cfg):
    average, loop = cfg.get('ema'), cfg.get('train_cfg') or {}
    if not isinstance(average, Mapping):
        return
    for key, end in (('begin_iter', 'max_iters'), ('begin_epoch', 'max_epochs')):
        begin, last = average.get(key), loop.get(end)
        if is_integer(begin) and is_integer(last) and begin > last:
            yield f'ema.{key} = {begin} lies behind the end of the training, train_cfg.{end} = {last}; set it earlier'


def _wrong_intervals(cfg):
    pairs = (cfg.get('train_cfg') or {}).get('dynamic_intervals')
    if pairs is None:
        return
    sound = isinstance(pairs, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
    sound = sound and all(is_integer(x) and x >= i for pair in pairs for i, x in enumerate(pair))
    if not sound or [start for start, _ in pairs] != sorted({start for start, _ in pairs}):
        yield (
            'train_cfg.dynamic_intervals must be a list of pairs (first iteration, interval of at least 1), '
            f'such as [(1000, 100)], in the order of iterations; got {pairs!r}'
        )


def _unaveraged_time(cfg):
    """A neck or head of MMSegmentation takes features without a time axis; only spiking necks and heads take one."""
    model = cfg.get('model') or {}
    backbone, kind = model.get('backbone'), _class_of(registry.MODELS, model.get('backbone'))
    if kind is None or backbone.get('time', default_of(kind, 'time')) != 'keep':
        return
    # what a neck of someone else hands on is not known
    spiking = model.get('neck') is None or _is_a(registry.MODELS, model.neck, registry.MODELS.get('SpikingFPN'))
    taking = ('neck', *HEADS) if spiking else ('neck',)
    for name in taking:
        for key, part in listed(model.get(name), f'model.{name}'):
            if getattr(_class_of(registry.MODELS, part), '__module__', '').startswith('mmseg.'):
                yield (
                    f"{key}: {part['type']} takes features averaged over time, and model.backbone.time = 'keep' gives "
                    "it every time step; set that to 'mean', or a spiking neck or head in its place"
                )
