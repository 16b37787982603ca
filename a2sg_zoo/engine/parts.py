"""The parts of a run that a config names at its top level, and what each of them becomes.

    adaptation = dict(policy=dict(type='A2SG', ...), log_interval=50)    the policy of the surrogate gradient
    membrane_loss = dict(type='IMLoss', weight=0.1)                      a loss on membrane potentials
    loss = dict(type='TET', regularization=0.05)                         the loss of a classifier, model.head.loss
    optim_method = dict(type='SAMOptimWrapper', rho=0.05)                the step of the optimiser, in optim_wrapper
    neuron = dict(type='PLIF')                                           changes of every neuron of the network; another
                                                                         type keeps the constants that both have
    num_classes = 10                                                     for the heads and the data sets
    classes = ['road', 'sky']                                            their names, for data sets that take them
    data_root = 'data/cifar'                                             for every data set without one of its own
    sharding = dict(units=[])                                            weights divided among processes
    ema = dict(momentum=0.0002)                                          an averaged copy of the weights
    frozen = ['backbone']                                                parts of the network that are not trained

Each part has a key of its own, so a policy, a loss and an optimiser from three files go together, and each value has a
dotted name: `adaptation.policy.interval`.
"""

import inspect
from copy import deepcopy

from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from a2sg_zoo import registry
from a2sg_zoo.datasets.classes import checked_names
from a2sg_zoo.engine.hooks import AdaptationHook, FrozenHook, MembraneLoss, ShardingHook
from a2sg_zoo.engine.loaders import LOADERS
from a2sg_zoo.engine.signatures import default_of, keys_of
from a2sg_zoo.errors import ConfigError

# keys of the hook; the others are those of the loss
MEMBRANE_LOSS_KEYS = {'weight', 'growth'}
# {part: the hook that it becomes}
HOOKS = dict(
    adaptation=AdaptationHook, membrane_loss=MembraneLoss, sharding=ShardingHook, ema=EMAHook, frozen=FrozenHook
)
OWN_PARTS = {
    *HOOKS,
    'loss',
    'optim_method',
    'neuron',
    'num_classes',
    'classes',
    'data_root',
    'channels_last',
    'compile',
    'demo',
    'search',
}
# parts of a network that are neither heads nor have neurons; asking the registry for them would load all networks
_NO_MODULES = {
    'neuron',
    'surrogate',
    'loss',
    'loss_decode',
    'init_cfg',
    'norm_cfg',
    'act_cfg',
    'data_preprocessor',
    'mixing',
}
HEADS = ('head', 'decode_head', 'auxiliary_head', 'detection_head')
MMENGINE_PARTS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | {
    'model_wrapper_cfg',
    'find_unused_parameters',
    'sync_bn',
    'runner_type',
    'custom_imports',
    'tta_model',
    'tta_pipeline',
}
PARTS = OWN_PARTS | MMENGINE_PARTS


def complete(cfg: Config, given: frozenset[str] | set[str] = frozenset()) -> None:
    """Put the parts that the network, the data and the optimiser take into their places, in `cfg` itself.

    Args:
        cfg: a config.
        given: dotted keys of overrides. One that another part makes ineffective is an error.

    Raises:
        ConfigError: a part does not fit this run; the message names its key.
    """
    if 'data_root' in cfg:
        _complete_data_root(cfg, 'data_root' in given)
    if 'classes' in cfg:
        _complete_classes(cfg, given)
    if 'num_classes' in cfg:
        _complete_num_classes(cfg)
    _complete_neurons(cfg, given)
    if 'loss' in cfg:
        _complete_loss(cfg, given)
    if 'optim_method' in cfg:
        _complete_optim_wrapper(cfg, given)
    for name in LOADERS:
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:  # PyTorch refuses what only workers have
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)


def _complete_data_root(cfg, given):
    used = False
    for dataset in _data_sets(cfg):
        if _takes(registry.DATASETS, dataset, 'data_root'):
            dataset.setdefault('data_root', cfg.data_root)
        used |= dataset.get('data_root') == cfg.data_root
    if not used:
        if given:
            raise ConfigError('data_root: no data set of this config reads a folder; leave it out')
        cfg.pop('data_root')


def _data_sets(cfg):
    """The data sets of a config, those within others too."""

    def walk(node):
        if isinstance(node, dict):
            yield node
            yield from walk(node.get('dataset'))
            yield from walk(node.get('datasets'))
        elif isinstance(node, (list, tuple)):
            for item in node:
                yield from walk(item)

    for name in LOADERS:
        yield from walk((cfg.get(name) or {}).get('dataset'))


def _complete_classes(cfg, given):
    names = checked_names(cfg.classes, 'classes')
    taken = [data for data in _data_sets(cfg) if _takes(registry.DATASETS, data, 'classes')]
    if not taken:
        raise ConfigError('classes: no data set of this config takes the names of its classes; leave it out')
    for dataset in taken:
        dataset.setdefault('classes', names)
    if 'num_classes' in given and cfg.num_classes != len(names):
        raise ConfigError(f'num_classes = {cfg.num_classes}, but classes has {len(names)} names; set classes alone')
    cfg.num_classes = len(names)


def _complete_num_classes(cfg):
    heads = [(path, node) for path, node in _modules(cfg.get('model')) if path.split('.')[0] in HEADS]
    taken = [(f'model.{path}', node) for path, node in heads if _takes(registry.MODELS, node, 'num_classes')]
    taken += [('dataset', data) for data in _data_sets(cfg) if _takes(registry.DATASETS, data, 'num_classes')]
    for path, node in taken:
        if node.setdefault('num_classes', cfg.num_classes) != cfg.num_classes:
            raise ConfigError(
                f'{path}.num_classes = {node["num_classes"]}, but num_classes = {cfg.num_classes} for the whole run; '
                'set num_classes alone'
            )


def _modules(node, path=''):
    """(dotted path, config) of the parts of a network that have a type."""
    if isinstance(node, dict):
        if 'type' in node and path:
            yield path, node
        for key, value in node.items():
            if key not in _NO_MODULES:
                yield from _modules(value, f'{path}.{key}' if path else key)
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _modules(value, f'{path}.{i}')


def _complete_neurons(cfg, given):
    changes = cfg.get('neuron') or {}
    taken = [(path, node) for path, node in _modules(cfg.get('model')) if _takes(registry.MODELS, node, 'neuron')]
    if changes and not taken:
        raise ConfigError('neuron: no part of this network takes the config of a neuron; leave it out')
    for path, node in taken:
        for key in changes:
            _refuse_shadowed(f'model.{path}.neuron.{key}', f'neuron.{key}', given)
        own = node.get('neuron') or {}
        # an override such as model.backbone.neuron.tau=3 changes the default of the class
        default = {} if 'type' in own else default_of(registry.MODELS.get(node['type']), 'neuron') or {}
        if own and default or changes:
            before = _merged(default, own)
            for key in _left_behind(before, changes):
                if not any(given_key.startswith(f'model.{path}.neuron.{key}') for given_key in given):
                    del before[key]
            node['neuron'] = _merged(before, changes)


def _left_behind(before, changes):
    """Constants of the neuron in the config that the one in its place does not have, such as tau of `LIF` for `PSN`."""
    if changes.get('type', before.get('type')) == before.get('type') or changes.get('type') not in registry.NEURONS:
        return []
    taken = keys_of(registry.NEURONS.get(changes['type']))[0]
    return [key for key in before if taken is not None and key not in ('type', *taken)]


def _merged(*parts):
    cfg = Config()
    for part in parts:
        cfg.merge_from_dict(deepcopy(dict(part)), allow_list_keys=False)
    return ConfigDict(cfg.to_dict())


def _complete_loss(cfg, given):
    head = (cfg.get('model') or {}).get('head')
    if not isinstance(head, dict):
        kind = (cfg.get('model') or {}).get('type', 'this network')
        raise ConfigError(
            f'loss: {cfg.loss.get("type")} is the loss of a classifier, model.head.loss, and {kind} has no such head; '
            'leave out loss, or the method that sets it'
        )
    _refuse_shadowed('model.head.loss', 'loss', given)
    head['loss'] = deepcopy(cfg.loss)


def _complete_optim_wrapper(cfg, given):
    for key in cfg.optim_method:
        _refuse_shadowed(f'optim_wrapper.{key}', f'optim_method.{key}', given)
    cfg.setdefault('optim_wrapper', {}).update(deepcopy(cfg.optim_method))


def _refuse_shadowed(shadowed, by, given):
    for key in given:
        if key == shadowed or key.startswith(f'{shadowed}.'):
            raise ConfigError(f'{key}: {by.partition(".")[0]} decides this value; set {by}{key[len(shadowed) :]}')


def _takes(parts, node, key):
    """Whether the class that a config names certainly takes a key."""
    target = parts.get(node['type']) if isinstance(node.get('type'), str) else None
    return inspect.isclass(target) and key in (keys_of(target)[0] or ())


def hooks_of(cfg: Config) -> list[Hook]:
    """The hooks that the parts `adaptation`, `membrane_loss`, `sharding`, `ema` and `frozen` become.

    Raises:
        ConfigError: a value that a hook refuses; the message names the part.
    """
    hooks = []
    for name, hook in HOOKS.items():
        arguments = cfg.get(name)
        if arguments is None or arguments is False:
            continue
        if name == 'frozen':
            arguments = dict(modules=arguments)
        arguments = {} if arguments is True else dict(arguments)
        if name == 'membrane_loss':
            loss = {key: value for key, value in arguments.items() if key not in MEMBRANE_LOSS_KEYS}
            arguments = dict(loss=loss, **{key: arguments[key] for key in MEMBRANE_LOSS_KEYS & arguments.keys()})
        try:
            hooks.append(hook(**arguments))
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            raise ConfigError(f'{name}: {error}') from error
    return hooks


def method_label(cfg: Config) -> str:
    """The method of a run in words: 'A2SG', 'fixed TRI + TET + SAM'."""
    policy = (cfg.get('adaptation') or {}).get('policy')
    if policy is None:
        label = 'surrogate of the config'
    elif policy.get('type') == 'Fixed':
        label = f'fixed {policy["surrogate"]["type"]}'
    else:
        label = _WRITTEN.get(policy['type'], policy['type'])
    loss = (cfg.get('loss') or {}).get('type')
    membrane_loss = (cfg.get('membrane_loss') or {}).get('type')
    wrapper = (cfg.get('optim_method') or {}).get('type')
    beside = [loss, membrane_loss, wrapper and wrapper.removesuffix('OptimWrapper')]
    return ' + '.join([label, *filter(None, beside)])


_WRITTEN = dict(SASG='S-ASG', TASG='T-ASG', STASG='ST-ASG')
