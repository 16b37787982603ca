"""Configs: reading them, and finding mistakes before anything is built."""

import inspect
import traceback
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from torch.utils.data import DataLoader

import a2sg_zoo
from a2sg_zoo import registry
from a2sg_zoo.engine.signatures import keys_of
from a2sg_zoo.errors import ConfigError

_MODEL_KEYS = (
    'model',
    'tta_model',
    'backbone',
    'neck',
    'decode_head',
    'auxiliary_head',
    'head',
    'data_preprocessor',
    'loss',
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
_DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
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
}
# where the builder adds no arguments of its own
_NOTHING_ADDED = {
    'model',
    'backbone',
    'neck',
    'decode_head',
    'auxiliary_head',
    'surrogate',
    'policy',
    'searcher',
    'dataset',
    'datasets',
    'custom_hooks',
    *_TRANSFORM_KEYS,
}
# free-form contents, and arguments that the enclosing class completes before it builds them
_OPAQUE = {'metainfo', 'data_prefix', 'meta', 'dcn'}
# classes whose parts are named in a library of their own
_SELF_CONTAINED = {'Albu'}
_LOADER_KEYS = set(inspect.signature(DataLoader.__init__).parameters) - {'self'} | {
    'num_batch_per_epoch',
    'disable_subprocess_warning',
}
_RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
_OTHER_KEYS = {'model_wrapper_cfg', 'tta_model', 'runner_type', 'custom_imports', 'sync_bn', 'compile', 'channels_last'}
# the folder of the package when it was installed, or else of its checkout
_PLACES = (Path(a2sg_zoo.__file__).parent, Path(a2sg_zoo.__file__).parents[1])


def find_config(path):
    """Where a config file or suite lies: at `path`, or else, of one that begins with configs/, among the shipped ones.

    Raises:
        ConfigError: in neither.
    """
    path = Path(path)
    shipped = [place / path for place in _PLACES] if path.parts[:1] == ('configs',) else []
    found = next((file for file in (path, *shipped) if file.is_file()), None)
    if found is None:
        raise ConfigError(f'config file {path} does not exist' + (', nor is it shipped' if shipped else ''))
    return found


def load_config(path, options=None, demo=False):
    """Reads a config file and imports the modules that it names in `custom_imports`.

    Where `options` or the demo set the top-level `data_root`, every data set that had the old one gets the new one,
    for a config's other parts hold a copy of it, not a reference.

    What a method changes besides its policy stands under `method`, and is merged over the rest: other keys of the run
    (a loss, the type of `optim_wrapper`), and `neuron`, which goes into each neuron of the model.

    Args:
        path: config file, see `find_config`.
        options: overrides, {dotted key: value}.
        demo: merge what the config has under `demo` first.

    Raises:
        ConfigError: a file is missing or has a mistake, or an override does not apply.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # a config file is a program: anything may go wrong in it
        raise ConfigError(f'{_place(error, path)}: {type(error).__name__}: {error}') from error
    if demo:
        if 'demo' not in cfg:
            raise ConfigError(f'{path} describes no demo; add a dictionary `demo` of what differs in one')
        _merge(cfg, cfg.demo.to_dict(), f'{path}: demo')
    if 'method' in cfg:
        changes = cfg.pop('method').to_dict()
        neuron = changes.pop('neuron', None)
        _merge(cfg, changes, f'{path}: method')
        if neuron is not None:
            _merge_neurons(cfg.get('model', {}), neuron)
    if options:
        _merge(cfg, options, 'override')
    if cfg.get('custom_imports'):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError, ValueError) as error:
            raise ConfigError(f'{path}: custom_imports: {error.__cause__ or error}') from error
    return cfg


def _merge(cfg, options, where):
    old = cfg.get('data_root')
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise ConfigError(f'{where} {", ".join(options)}: {error.args[0] if error.args else error}') from error
    if old is not None and cfg.data_root != old:
        for name in _DATALOADERS:
            _replace_root(cfg.get(name), old, cfg.data_root)


def _merge_neurons(node, changes):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'neuron' and isinstance(value, dict):
                value.update(changes)
            else:
                _merge_neurons(value, changes)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _merge_neurons(value, changes)


def _replace_root(node, old, new):
    if isinstance(node, dict):
        if node.get('data_root') == old:
            node['data_root'] = new
        for value in node.values():
            _replace_root(value, old, new)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_root(value, old, new)


def _place(error, path):
    """FILE:LINE of a mistake in a config file or in one that it inherits from."""
    # MMEngine runs a nameless copy of each file, from a function that knows the name
    frames = list(traceback.walk_tb(error.__traceback__))
    file = ([frame.f_locals['filename'] for frame, _ in frames if frame.f_code.co_name == '_file2dict'] or [path])[-1]
    lines = [line for frame, line in frames if frame.f_code.co_name == '<module>']
    if isinstance(error, SyntaxError):
        try:
            compile(Path(file).read_text(encoding='utf-8'), file, 'exec')
        except SyntaxError as found:
            lines = [found.lineno]
    return f'{file}:{lines[-1]}' if lines else str(file)


def validate_config(cfg):
    """Raises one ConfigError that lists every name in a config that is not registered, every key that its class does
    not take, and every key that is certainly missing. Builds nothing."""
    problems = []
    for key, value in cfg.items():
        if key in _RUNNER_KEYS or key in _OTHER_KEYS:
            _walk(value, key, key, problems)
        else:
            near = get_close_matches(key, _RUNNER_KEYS, n=1, cutoff=0.88)
            if near:
                problems.append(f'{key}: a run has no such part; did you mean {near[0]}?')
    _check_frames(cfg, problems)
    if cfg.get('compile') and _get(cfg, 'model', 'backbone', 'recompute'):
        problems.append(
            'compile: a backbone whose blocks run again (model.backbone.recompute) cannot be compiled as a '
            'whole; leave out one of the two'
        )
    if problems:
        where = f'{cfg.filename}: ' if getattr(cfg, 'filename', None) else ''
        count = f'{len(problems)} mistakes' if len(problems) > 1 else 'a mistake'
        raise ConfigError(f'{where}{count} in the config:' + ''.join(f'\n    {p}' for p in problems))


def _check_frames(cfg, problems):
    """Event frames are the time steps: a data set that says its T must say the backbone's."""
    steps = _get(cfg, 'model', 'backbone', 'T')
    for name in _DATALOADERS:
        frames = _get(cfg, name, 'dataset', 'T')
        if None not in (steps, frames) and frames != steps:
            problems.append(
                f'{name}.dataset.T: a sample has {frames} frames, but the network runs model.backbone.T = '
                f'{steps} time steps; give both the same number'
            )


def _get(node, *path):
    """What stands at a path of keys, None if nothing does."""
    for name in path:
        node = node.get(name) if hasattr(node, 'get') else None
    return node


def _walk(node, path, key, problems):
    """Checks a part of the config; `key` is the name that decides its registry."""
    if isinstance(node, dict):
        if path in _DATALOADERS:
            _check_keys(node, path, 'a dataloader', _LOADER_KEYS, problems)
        if 'type' in node:
            _check(node, path, key, problems)
            if str(node['type']) in _SELF_CONTAINED:
                return
        for name, value in node.items():
            if name not in _OPAQUE:
                # default_hooks = dict(NAME=hook, ...)
                _walk(value, f'{path}.{name}', key if path == 'default_hooks' else name, problems)
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            _walk(value, f'{path}[{i}]', key, problems)


def _check(node, path, key, problems):
    target = node['type']
    if isinstance(target, str):
        registries = [registry.LOOPS] if path in _LOOPS else _REGISTRIES.get(key)
        target = _find(target, registries or _ANY)
        if target is None:
            problems.append(f'{path}.type: {_unknown(node["type"], registries)}')
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        return
    accepted, required = keys_of(target)
    taken = _TAKEN_BY_BUILDER.get(key, set())
    if accepted is not None:
        _check_keys(node, path, target.__name__, accepted | taken, problems)
    if key in _NOTHING_ADDED:
        problems.extend(f'{path}: {target.__name__} needs the key {name}' for name in sorted(required - node.keys()))


def _check_keys(node, path, owner, accepted, problems):
    for name in node:
        if name not in accepted | {'type', '_scope_'}:
            near = get_close_matches(name, accepted, n=1)
            hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(sorted(accepted)) or "none"}'
            problems.append(f'{path}.{name}: {owner} takes no such key; {hint}')


def _find(name, registries):
    return next((found for r in registries if (found := r.get(name)) is not None), None)


def _unknown(name, registries):
    named = [r for r in registries or [] if isinstance(r, registry.Registry)]
    if named:
        return named[0].unknown(name)
    kind = f'registered {registries[0].name}' if registries else 'registered name'
    known = {known for r in registries or _ANY for known in registry.Registry.names(r)}
    near = get_close_matches(name, known, n=3)
    return f'{name!r} is not a {kind}' + (f'; did you mean {" or ".join(map(repr, near))}?' if near else '')
