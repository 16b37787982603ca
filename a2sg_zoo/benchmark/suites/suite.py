"""Suite files: which networks are trained on which data sets, with which methods and seeds.

    name = 'small'
    networks = dict(resnet=['../_base_/models/resnet_small.py'])
    datasets = dict(digits=['../_base_/datasets/digits.py'])
    methods = dict(tri=['../_base_/methods/tri.py'], a2sg=['../_base_/methods/a2sg.py'])
    common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
    seeds = [0, 1, 2]
    reference = 'tri'

Each network, data set and method is a list of config files, relative to the suite file. A run inherits from the files
of its network, its data set and its method, and from those of `common`. All other keys are optional:

    options         overrides {dotted key: value} for all runs
    network_options, dataset_options, method_options
                    overrides by name, for example method_options = dict(a2sg={...})
    tuned           a best.json that `tools/search.py` wrote, relative to the suite file: overrides for each network,
                    data set and method, which come after those above
    metric          the metric that the report compares; default 'top1'
    timeout         seconds after which a run counts as hung; default 3600
    published       [dict(network=, dataset=, method=, value=, source=)]: figures of other publications, for the report
    search          what `tools/search.py` varies, see `a2sg_zoo.benchmark.tuning.search`. Besides, `method_space` has
                    {method: more of space} and `dataset_options` has {data set: more of options}

Names that begin with an underscore belong to the file and are not read.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo.benchmark.suites.checks import AXES, check_content, check_tuned
from a2sg_zoo.engine.config import find_config, load_config, validate_config
from a2sg_zoo.errors import ConfigError


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
    path = find_config(path)
    try:
        content = Config.fromfile(path, import_custom_modules=False).to_dict()
    except Exception as error:  # a suite is a program, so anything may go wrong in it
        raise ConfigError(f'{path}: {type(error).__name__}: {error}') from error
    content = {key: value for key, value in content.items() if not key.startswith('_')}
    check_content(content, path)
    tuned = _tuned(content.pop('tuned', None), path)
    suite = Suite(**content, tuned=tuned)
    check_tuned(suite, path)
    for axis in AXES:
        files = {
            name: [_found(file, path, f'{axis}.{name}') for file in _listed(files)]
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'{network}-{dataset}-{method}.py')
        path.write_text(f'_base_ = {files!r}\n')
        cfg = load_config(path, overrides)
        validate_config(cfg)
    return cfg


def _tuned(file: str | None, path: Path) -> dict[str, dict[str, Any]]:
    """{NETWORK-DATASET-METHOD: overrides} of a best.json."""
    if file is None:
        return {}
    try:
        found = json.loads((path.parent / file).read_text())
        return {name: dict(entry['options']) for name, entry in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path}: tuned: {file} is not a best.json of tools/search.py ({error})') from error


def _listed(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else files


def _found(file: str, path: Path, key: str) -> str:
    try:
        found = (path.parent / file).resolve()
        if found.is_file():
            return str(found)
    except (OSError, ValueError) as error:  # a loop of links, or a name that cannot be one
        raise ConfigError(f'{path}: {key}: {file!r}: {error}') from error
    raise ConfigError(f'{path}: {key}: {found} does not exist')
