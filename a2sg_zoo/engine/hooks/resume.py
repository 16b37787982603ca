"""The hook that checks what a run is loaded from, and continues its data where the checkpoint left them."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from a2sg_zoo.engine.resume import require_resumable
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.engine.schedules import schedules_of
from a2sg_zoo.engine.walk import leaves
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import require_match, weights_of
from a2sg_zoo.hub.description import parse_config
from a2sg_zoo.hub.index import ADDRESSES
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import class_layers_of_another_size, class_names
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model

# parts of a config that a resumed run takes from the checkpoint; the types in them have to be the same
_RESTORED = ('optim_wrapper.optimizer', 'optim_wrapper.paramwise_cfg', 'param_scheduler')
# parts that decide what a step computes, so they have to be the same
_KEPT = (
    'adaptation.policy',
    'membrane_loss',
    'model',
    'optim_wrapper',
    'data_preprocessor',
    'ema',
    'frozen',
    'hooks',
    'train_dataloader.sampler.seed',
)
# the hooks that `hooks` stands for: what a step computes depends on them
_HOOKS = ('GrowTimeSteps', 'NarrowDelays', 'StopMixing')
# keys in them that decide where weights come from, how much memory a step takes, how data reaches the device, and how
# predictions are made
_FREE = {'init_cfg', 'pretrained', 'recompute', 'save_spikes', 'time_chunk', 'non_blocking', 'test_cfg'}
_DEFAULTS = {'optim_wrapper.type': 'OptimWrapper', 'optim_wrapper.accumulative_counts': 1}
_DATA = 'train_dataloader.dataset'
_NEW_RUN = 'start a new run from its weights, in another folder and without --resume: --cfg-options load_from='
_SHOWN = 5
_OTHER_CLASSES = (
    'Give the data the same classes in the same order. To train other classes on what the network has learnt, load its '
    "backbone alone: model.backbone.init_cfg=dict(type='Pretrained', checkpoint=PATH, prefix='backbone.')"
)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes a run begin as its checkpoint says, or not at all.

    - Weights that do not fit the network are an error, whether the run is resumed or begins with them. There is one
      exception: where a training begins with weights of another number of classes, the last layer of the head keeps
      its initial weights, and a warning says so.
    - One line of the log says what was loaded.
    - A resumed run takes up the stream of training samples after the last one that its checkpoint has seen, also with
      another batch size or number of processes. Iterations, and with them the schedule, count on. A loop over epochs
      continues with the next epoch.
    - Values of the optimiser and the schedule are those of the checkpoint. Where the config says otherwise, a warning
      names the keys; another type of optimiser or scheduler is an error. A schedule without an end has the end of the
      training that it began with.
    - Another policy, network, loss, normalisation of the data, average of the weights, choice of frozen parts, hook
      that changes the network during the training, or wrapper of the optimiser (precision, clipping) than that of the
      checkpoint is an error. Another preparation of the training data is taken, with a warning.
    - What grows with the share of the training that is done, reaches its last value at the end of the training that
      the run began with, see `progress`.
    - A checkpoint beyond the end of the run is an error.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._meta: Mapping | None = None
        self._path = 'of this run'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks a checkpoint before anything of it is used."""
        self._path = getattr(checkpoint, 'path', None) or 'of this run'
        if getattr(runner, 'resuming', False):
            require_resumable(checkpoint, self._path)
            self._meta = checkpoint['meta']
            self._compare(runner, parse_config(self._meta.get('cfg')))
            self._compare_seeds(runner)
        model, meta = unwrap_model(runner.model), checkpoint.get('meta')
        weights = weights_of(checkpoint, self._path)
        fresh = {}
        if getattr(runner, 'training', False) and not runner.resuming:
            fresh = class_layers_of_another_size(model, runner.cfg.get('model') or {}, weights)
        weights = {name: x for name, x in weights.items() if name not in fresh}
        checkpoint['state_dict'] = require_match(model, weights, self._path, meta, allow_missing=fresh)
        self._report(runner, len(weights), fresh, meta)
        names = getattr(runner, 'class_names', None)
        if names and not fresh:
            path = locate(self._path) if str(self._path).startswith(ADDRESSES) else self._path
            names.add(class_names(path, checkpoint), f'checkpoint {self._path}', _OTHER_CLASSES)

    def _report(self, runner: Runner, loaded: int, fresh: Mapping[str, tuple[int, int]], meta: Any) -> None:
        """One line on what is loaded."""
        iteration = meta.get('iter') if isinstance(meta, Mapping) else None
        line = f'Loaded {loaded} tensors from {self._path}' + (f', iteration {iteration}' if iteration else '')
        if not fresh:
            runner.logger.info(line)
            return
        here, there = next(iter(fresh.values()))
        runner.logger.warning(
            f'{line}. The head has {here} classes here and {there} in the file, so it begins with initial weights: '
            f'{", ".join(fresh)}'
        )

    def before_train(self, runner: Runner) -> None:
        """Sets the position in the stream of training samples, and the end to which `progress` counts."""
        self._samples_a_step = (runner.train_dataloader.batch_size or 0) * runner.world_size
        loop, unit, length = runner.train_loop, 'iter', 1
        if isinstance(loop, EpochBasedTrainLoop):
            unit, length = 'epoch', len(loop.dataloader)
        self._end = end = getattr(loop, f'max_{unit}s')
        if self._meta is None:
            return
        if unit == 'epoch':
            # an epoch has another number of iterations with another batch size or number of processes
            loop._iter = loop.epoch * length
        here = getattr(loop, unit)
        if here > end:
            raise ConfigError(
                f'train_cfg.max_{unit}s = {end} lies behind the checkpoint {self._path}, which is of {unit} {here}; '
                'set it to the end of the whole run, or resume from an earlier checkpoint'
            )
        # a checkpoint of an earlier version tells it by its config
        before = self._meta.get('end', _get(parse_config(self._meta.get('cfg')), f'train_cfg.max_{unit}s'))
        if type(before) is int and before > 0:
            self._end = before
        runner.first_end = self._end * length
        self._continue_data(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Notes how many samples the run has seen, and the end that it began with."""
        meta = checkpoint['meta']
        meta.update(samples_a_step=self._samples_a_step, world_size=runner.world_size, end=self._end)
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, ResumableSampler):
            meta['samples'] = sampler.origin + meta['iter'] * self._samples_a_step

    def _continue_data(self, runner: Runner) -> None:
        now, then = self._samples_a_step, self._meta.get('samples_a_step')
        if type(then) is not int or then <= 0:
            # from before this was noted: the config tells the batch size, and the processes are taken to be as many
            loader = parse_config(self._meta.get('cfg')).get('train_dataloader')
            batch_size = loader.get('batch_size') if isinstance(loader, dict) else None
            then = batch_size * runner.world_size if type(batch_size) is int and batch_size > 0 else now
        seen = self._meta.get('samples')
        if type(seen) is not int or seen < 0:
            seen = runner.iter * then
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, ResumableSampler):
            sampler.origin = seen - runner.iter * now
        if then == now or isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        if not isinstance(sampler, ResumableSampler):
            raise ConfigError(
                f'train_dataloader.batch_size: a step takes {now} samples here and {then} in the checkpoint '
                f'{self._path}, and {type(sampler).__name__} cannot start in between; set '
                f'train_dataloader.batch_size={then // runner.world_size or 1} with {runner.world_size} processes, or '
                'train_dataloader.sampler.type=ResumableSampler'
            )
        runner.logger.warning(
            f'A step takes {now} samples (train_dataloader.batch_size x processes) and took {then} before. The run '
            f'continues after the {seen:,} samples that it has seen; the schedule counts iterations, and continues at '
            f'{runner.iter}'
        )

    def _compare_seeds(self, runner: Runner) -> None:
        before, now = self._meta.get('seed'), (runner.cfg.get('randomness') or {}).get('seed')
        if None not in (before, now) and before != now:
            runner.logger.warning(
                f'Not used: randomness.seed = {now}, for the run began with {before} and continues with it. A run with '
                'a second seed needs a folder of its own (--work-dir)'
            )

    def _compare(self, runner: Runner, before: Mapping) -> None:
        """Says which values of the config a resumed run does not take, and which it cannot do without."""
        now = runner.cfg.to_dict() if runner.cfg.filename or len(runner.cfg) else {}
        before, now = (_with_ends(config) for config in (before, now))
        changed, types, other = [], [], []
        for part in _RESTORED if before and now else ():
            # a part that the checkpoint's config has not, is not restored
            if part.partition('.')[0] in before and _get(now, part):
                for key, words in _differences(before, now, part):
                    (types if key.endswith('.type') else changed).append(words)
        for part in _KEPT if before and now else ():
            # every run has a network and a wrapper: without them, the checkpoint's config could not be read
            if part in before or part not in ('model', 'optim_wrapper'):
                for key, words in _differences(before, now, part):
                    if not key.startswith(_RESTORED) and not _is_free(key, now):
                        other.append(words)
        pipelines = [words for key, words in _differences(before, now, _DATA) if '.pipeline' in key] if now else []
        if other:
            raise CheckpointError(
                f'checkpoint {self._path}: {"; ".join(other[:_SHOWN])}. A run continues with the method, the network '
                f'and the precision that it began with; give it the same config, --method, --amp and --cfg-options, or '
                f'{_NEW_RUN}{self._path}'
            )
        if types:
            raise CheckpointError(
                f'checkpoint {self._path}: {"; ".join(types[:_SHOWN])}. A run continues with the optimiser and the '
                f'schedule that it began with; {_NEW_RUN}{self._path}'
            )
        if pipelines:
            runner.logger.warning(
                f'The run continues with other training data than it began with: {"; ".join(pipelines[:_SHOWN])}'
            )
        if changed:
            more = f'; and {len(changed) - _SHOWN} more' if len(changed) > _SHOWN else ''
            runner.logger.warning(
                f'Not used, for a resumed run continues with the values of its checkpoint: '
                f'{"; ".join(changed[:_SHOWN])}{more}. To train with other values, {_NEW_RUN}{self._path}'
            )


def _is_free(key: str, config: Mapping) -> bool:
    """Whether a resumed run may have another value for a key of `_KEPT`."""
    parent, _, name = key.rpartition('.')
    if name == 'time_chunk' and _get(config, f'{parent}.chunked_norms'):
        return False  # batch norms normalise over a chunk
    return bool(_FREE & set(key.split('.')))


def _with_ends(config: Mapping) -> Mapping:
    """A config with an end for each schedule, as the run has it."""
    return {**config, 'param_scheduler': schedules_of(config)} if 'param_scheduler' in config else config


def _get(config: Mapping, path: str) -> Any:
    if path == 'hooks':
        nodes = [*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or ())]
        found = {node['type']: node for node in nodes if isinstance(node, Mapping) and node.get('type') in _HOOKS}
        return found or None
    for key in path.split('.'):
        config = config.get(key) if isinstance(config, Mapping) else None
    # a single scheduler or name need not stand in a list
    if path == 'param_scheduler' and isinstance(config, Mapping) or path == 'frozen' and isinstance(config, str):
        return [config]
    if path == 'ema' and config == {}:
        return True
    return config or None if path in ('ema', 'frozen') else config


def _differences(before: Mapping, now: Mapping, part: str) -> Iterator[tuple[str, str]]:
    """(dotted key, both values in words) of every leaf of a part that differs between two configs."""
    old, new = (
        {key: _listed(value) for key, value in leaves({part: _get(config, part)}) if value is not None}
        for config in (before, now)
    )
    for key in {**old, **new}:
        here, there = (values.get(key, _DEFAULTS.get(key, 'unset')) for values in (new, old))
        if here != there:
            yield key, f'{key} = {here} here, {there} in the checkpoint'


def _listed(value: Any) -> Any:
    """A value with lists in place of tuples."""
    return [*map(_listed, value)] if isinstance(value, (list, tuple)) else value
