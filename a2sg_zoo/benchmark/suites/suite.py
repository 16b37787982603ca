"""Suites: which networks are trained on which data with which methods and seeds, as a config file.

    name = 'small'
    networks = dict(resnet=['../_base_/models/resnet_small.py'])
    datasets = dict(digits=['../_base_/datasets/digits.py'])
    methods = dict(tri=['../_base_/methods/tri.py'], a2sg=['../_base_/methods/a2sg.py'])
    common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
    seeds = [0, 1, 2]
    reference = 'tri'

Each network, data set and method is a list of config files, relative to the suite's own; a run inherits from those of
its network, its data set and its method, and from `common`. Further keys, all optional:

    options, network_options, dataset_options, method_options
                    overrides {dotted key: value}; the latter three by name: method_options = dict(a2sg={...})
    tuned           file that `tools/search.py` wrote (best.json), relative to the suite's own: overrides for each
                    network, data set and method, which come after those above
    metric          what the report compares, 'top1'
    timeout         seconds that a run may take before it counts as hung, 3600
    published       [dict(network=, dataset=, method=, value=, source=)]: figures of others, for the report
    search          what `tools/search.py` varies for each method alike, see
                    `a2sg_zoo.benchmark.tuning.search`; besides, method_space has {method: more of
                    space}, and dataset_options {data set: more of options}

Names that begin with an underscore are the file's own.
"""

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from a2sg_zoo.engine.config import find_config, load_config, validate_config
from a2sg_zoo.errors import ConfigError

_AXES = ('networks', 'datasets', 'methods')


@dataclass
class Suite:
    """A suite as its file describes it; see the module."""

    name: str
    networks: dict
    datasets: dict
    methods: dict
    seeds: list
    reference: str
    common: list = field(default_factory=list)
    options: dict = field(default_factory=dict)
    network_options: dict = field(default_factory=dict)
    dataset_options: dict = field(default_factory=dict)
    method_options: dict = field(default_factory=dict)
    tuned: dict = field(default_factory=dict)
    metric: str = 'top1'
    timeout: float = 3600
    published: list = field(default_factory=list)
    search: dict = field(default_factory=dict)


def read_suite(path):
    """The `Suite` in a file.

    Raises:
        ConfigError: the file has a mistake; the message says which key.
    """
    path = find_config(path)
    try:
        content = Config.fromfile(path, import_custom_modules=False).to_dict()
        content = {key: value for key, value in content.items() if not key.startswith('_')}
    except Exception as error:  # a suite is a program: anything may go wrong in it
        raise ConfigError(f'{path}: {type(error).__name__}: {error}') from error
    known = Suite.__dataclass_fields__
    unknown = content.keys() - known.keys()
    missing = [key for key in ('name', *_AXES, 'seeds', 'reference') if key not in content]
    if unknown or missing:
        problem = f'unknown key {", ".join(sorted(unknown))}' if unknown else f'missing key {", ".join(missing)}'
        raise ConfigError(f'{path}: {problem}; a suite has {", ".join(known)}')
    suite = Suite(**content)
    suite.tuned = _tuned(content.get('tuned'), path)
    _check(suite, path)
    for axis in _AXES:
        setattr(
            suite,
            axis,
            {
                name: [_found(file, path, f'{axis}.{name}') for file in _listed(files)]
                for name, files in getattr(suite, axis).items()
            },
        )
    suite.common = [_found(file, path, 'common') for file in suite.common]
    return suite


def _check(suite, path):
    for axis in _AXES:
        if not getattr(suite, axis):
            raise ConfigError(f'{path}: {axis} is empty')
        for name in getattr(suite, axis):
            if not re.fullmatch(r'\w+', name):  # so that no two runs can have one name
                raise ConfigError(f'{path}: {axis}: {name!r} must be made of letters, digits and underscores')
        named = {f'{axis[:-1]}_options': (axis, getattr(suite, f'{axis[:-1]}_options')) for axis in _AXES}
    named['search.method_space'] = 'methods', suite.search.get('method_space', {})
    named['search.dataset_options'] = 'datasets', suite.search.get('dataset_options', {})
    cells = {f'{n}-{d}-{m}' for n in suite.networks for d in suite.datasets for m in suite.methods}
    if suite.tuned.keys() - cells:
        strange = ', '.join(sorted(suite.tuned.keys() - cells))
        raise ConfigError(f'{path}: tuned names {strange}, which the suite has not')
    for key, (axis, entries) in named.items():
        strange = entries.keys() - getattr(suite, axis).keys()
        if strange:
            raise ConfigError(f'{path}: {key} names {", ".join(sorted(strange))}, which {axis} has not')
    if not suite.seeds or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in suite.seeds):
        raise ConfigError(f'{path}: seeds must be a list of integers >= 0, got {suite.seeds!r}')
    if len(set(suite.seeds)) < len(suite.seeds):
        raise ConfigError(f'{path}: seeds {suite.seeds} has one twice: two runs would have one name')
    if suite.reference not in suite.methods:
        raise ConfigError(
            f'{path}: reference = {suite.reference!r} is not one of the methods {", ".join(suite.methods)}'
        )


def _tuned(file, path):
    """{NETWORK-DATASET-METHOD: overrides} of a search's best.json."""
    if file is None:
        return {}
    try:
        return {name: entry['options'] for name, entry in json.loads((path.parent / file).read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path}: tuned: {file} is not a best.json of tools/search.py ({error})') from error


def _listed(files):
    return [files] if isinstance(files, str) else files


def _found(file, path, key):
    found = (path.parent / file).resolve()
    if not found.is_file():
        raise ConfigError(f'{path}: {key}: {found} does not exist')
    return str(found)


def compose(suite, network, dataset, method, options):
    """The validated config of a run, without its seed; `options` are overrides that come last."""
    files = [*suite.networks[network], *suite.datasets[dataset], *suite.methods[method], *suite.common]
    overrides = {
        **suite.options,
        **suite.network_options.get(network, {}),
        **suite.dataset_options.get(dataset, {}),
        **suite.method_options.get(method, {}),
        **suite.tuned.get(f'{network}-{dataset}-{method}', {}),
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'{network}-{dataset}-{method}.py')
        path.write_text(f'_base_ = {files!r}\n')
        cfg = load_config(path, overrides)
        validate_config(cfg)
    return cfg
