"""Suite files: which networks are trained on which data sets, with which methods and seeds.

    name = 'small'
    networks = dict(resnet='a2sg_zoo::_base_/models/resnet_small.py')
    datasets = dict(digits='a2sg_zoo::_base_/datasets/digits.py', mine=['base.py', 'my_data.py'])
    methods = ['tri', 'a2sg', ['a2sg', 'sam']]
    common = ['a2sg_zoo::_base_/schedules/short_sgd.py', 'a2sg_zoo::_base_/default_runtime.py']
    seeds = [0, 1, 2]
    reference = 'tri'

A network and a data set is a config file or a list of them, relative to the file that names it or below the shipped
folder `configs` (`a2sg_zoo::`). A method is a name or a file that `--method` takes, or a list of them: the third one
above is named `a2sg_sam`. Where methods need other names or options, they are a dictionary:
methods = dict(often='a2sg', ...). A run is what the files of its network, its data set and its method and those of
`common` set together. All other keys are optional:

    options         overrides {dotted key: value} for all runs
    network_options, dataset_options, method_options
                    overrides by name, for example method_options = dict(a2sg={...})
    tuned           a best.json that `a2sg-zoo search` wrote, relative to the file that names it: overrides for each
                    network, data set and method, all of which must be there; they come after those above
    metric          the metric that the report compares; default 'top1'
    timeout         seconds after which a run counts as hung; default 3600
    published       [dict(network=, dataset=, method=, value=, source=)]: figures of other publications, for the report
    search          what `a2sg-zoo search` varies, see `a2sg_zoo.benchmark.tuning.search`. Besides, `method_space` has
                    {method: more of space} and `dataset_options` has {data set: more of options}

Names that begin with an underscore belong to the file and are not read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo.benchmark.suites.checks import AXES, check_content
from a2sg_zoo.engine.config import compose_config
from a2sg_zoo.engine.config_files import read_config, read_together
from a2sg_zoo.engine.config_names import find_base, find_config, find_method
from a2sg_zoo.errors import ConfigError

# endings of the files that a suite names
_FILES = ('.py', '.json', '.yaml', '.yml')


@dataclass
class Suite:
    """A suite, with the keys of its file; see the module's documentation.

    In `networks`, `datasets`, `methods` and `common` every file is an absolute path, and `tuned` has the overrides
    {NETWORK-DATASET-METHOD: {dotted key: value}} of the file that it names.
    """

    name: str
    networks: dict[str, list[str]]
    datasets: dict[str, list[str]]
    methods: dict[str, list[str]]
    seeds: list[int]
    reference: str
    common: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    network_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    dataset_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    method_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)
    metric: str = 'top1'
    timeout: float = 3600
    published: list[dict[str, Any]] = field(default_factory=list)
    search: dict[str, Any] = field(default_factory=dict)


def read_suite(path: str | os.PathLike) -> Suite:
    """Read a suite file.

    Raises:
        ConfigError: the file has a mistake; the message names the file and the key.
    """
    path, _ = find_config(Path(path))
    content = Config(read_config(path, prepare=_absolute).values).to_dict()
    if isinstance(content.get('methods'), (list, tuple)):
        content['methods'] = _named_methods(content['methods'], path)
    check_content(content, path)
    tuned = _tuned(content.pop('tuned', None), path)
    suite = Suite(**content, tuned=tuned)
    _check_tuned(suite, path)
    for axis in AXES:
        files = {
            name: [_found(file, path, f'{axis}.{name}', axis == 'methods') for file in _listed(files)]
            for name, files in getattr(suite, axis).items()
        }
        setattr(suite, axis, files)
    suite.common = [_found(file, path, 'common') for file in _listed(suite.common)]
    return suite


def compose(suite: Suite, network: str, dataset: str, method: str, options: Mapping[str, Any]) -> Config:
    """Compose and validate the config of a run, without its seed.

    Args:
        suite: from `read_suite`.
        network: name of the network in the suite.
        dataset: name of the data set in the suite.
        method: name of the method in the suite.
        options: overrides {dotted key: value}, which come after those of the suite.

    Raises:
        ConfigError: the config has a mistake.
    """
    files = [*suite.networks[network], *suite.datasets[dataset], *suite.methods[method], *suite.common]
    overrides = {
        **suite.options,
        **suite.network_options.get(network, {}),
        **suite.dataset_options.get(dataset, {}),
        **suite.method_options.get(method, {}),
        **suite.tuned.get(f'{network}-{dataset}-{method}', {}),
        **options,
    }
    name = f'{network}-{dataset}-{method}.py'
    cfg = compose_config(read_together(files, name), name, overrides)
    # they say nothing of what the run computes
    for key in ('demo', 'search'):
        cfg.pop(key, None)
    return cfg


def _absolute(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """What one file of a suite sets, with absolute names of files: a suite in another folder may inherit them."""

    def settle(node):
        if isinstance(node, Mapping):
            return type(node)({key: settle(value) for key, value in node.items()})
        if isinstance(node, (list, tuple)):
            return [settle(value) for value in node]
        is_relative = isinstance(node, str) and Path(node).suffix in _FILES and '::' not in node
        return os.path.join(path.parent.absolute(), os.path.expanduser(node)) if is_relative else node

    return {key: settle(value) if key in (*AXES, 'common', 'tuned') else value for key, value in values.items()}


def _tuned(file: str | None, path: Path) -> dict[str, dict[str, Any]]:
    """{NETWORK-DATASET-METHOD: overrides} of a best.json."""
    if file is None:
        return {}
    try:
        found = json.loads((path.parent / file).read_text())
        return {name: dict(entry['options']) for name, entry in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path}: tuned: {file} is not a best.json of `a2sg-zoo search` ({error})') from error


def _check_tuned(suite: Suite, path: Path) -> None:
    """Check that tuned values are those of networks, data sets and methods of the suite.

    Raises:
        ConfigError: `tuned` names another one.
    """
    cells = {'-'.join(cell) for cell in product(suite.networks, suite.datasets, suite.methods)}
    strange = suite.tuned.keys() - cells
    if strange:
        raise ConfigError(f'{path}: tuned names {", ".join(sorted(strange))}, which the suite does not have')


def _listed(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else files


def _named_methods(methods: list[str | list[str]], path: Path) -> dict[str, list[str]]:
    """{name: methods} of a list of methods, each a name, a file or a list of them."""
    named: dict[str, list[str]] = {}
    for entry in methods:
        parts = _listed(entry)
        if not (isinstance(parts, (list, tuple)) and parts and all(isinstance(part, str) for part in parts)):
            raise ConfigError(f'{path}: methods: each must be a name or a list of names, got {entry!r:.200}')
        name = '_'.join(Path(part).stem for part in parts)
        if name in named:
            raise ConfigError(f'{path}: methods: {name} is there twice')
        named[name] = list(parts)
    return named


def _found(file: str, path: Path, key: str, method: bool = False) -> str:
    try:
        if method and not file.endswith('.py'):
            return str(find_method(file))
        found, methods = find_base(file, path)
    except ConfigError as error:
        raise ConfigError(f'{path}: {key}: {error}') from error
    if methods:
        raise ConfigError(f'{path}: {key}: {file} is a config with a method; name the config alone')
    return str(found)
