"""The runs of a suite, and what makes two runs the same."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo.benchmark.suites.checks import AXES, check_metric
from a2sg_zoo.benchmark.suites.results import run_name
from a2sg_zoo.benchmark.suites.suite import Suite, compose
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import CACHE_TAG
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.registry import DATASETS

# The version of what a training computes. Results of another version do not count, and their runs are repeated. Raise
# it by one with every change after which the same config gives other figures, such as another default, another order
# of random numbers, or a mended gradient. A change of speed, words or structure leaves it as it is.
# tests/benchmark/suites/test_results_version.py notices when it was forgotten. Version 1 has the guard `min_inside`.
RESULTS_VERSION = 1

# keys of a config that say where things are, not what is computed
_PLACES = ('data_root', 'work_dir', 'cache_root')
# keys that name weights
_WEIGHTS = ('checkpoint', 'load_from')


@dataclass(frozen=True)
class Run:
    """One training of a suite.

    Attributes:
        network: name of its network in the suite.
        dataset: name of its data set in the suite.
        method: name of its method in the suite.
        seed: seed of all its random generators.
        config: complete config.
        hash, version, data: what its result depends on, see `identify`.
    """

    network: str
    dataset: str
    method: str
    seed: int
    config: Config
    hash: str
    version: str
    data: str

    @property
    def name(self) -> str:
        """Name of the run, which is unique in its suite."""
        return run_name(self.network, self.dataset, self.method, self.seed)

    @property
    def identity(self) -> dict[str, str]:
        """What a run depends on. Two runs of the same identity have the same result."""
        return dict(hash=self.hash, version=self.version, data=self.data)

    def is_done(self, result: Mapping[str, Any]) -> bool:
        """Whether a result, see `read_result`, is the finished one of this very run."""
        return result['status'] == 'finished' and not self.changes(result)

    def changes(self, result: Mapping[str, Any]) -> list[str]:
        """Return which of 'config', 'version' and 'data' differ between a result and this run."""
        names = dict(hash='config', version='version', data='data')
        return [names[key] for key, value in self.identity.items() if result[key] != value]


def plan(suite: Suite, options: Mapping[str, Any] | None = None) -> list[Run]:
    """Plan all runs of a suite and validate the config of each.

    Seeds are the outermost loop, so that a suite that was stopped early covers every method.

    Args:
        suite: from `read_suite`.
        options: further overrides {dotted key: value} for all runs, which come after those of the suite.

    Raises:
        ConfigError: a run's config has a mistake, no run gives the suite's metric, two methods are equal, or some of
            them are tuned and others are not.
    """
    cells = {
        (network, dataset, method): compose(suite, network, dataset, method, options or {})
        for network in suite.networks
        for dataset in suite.datasets
        for method in suite.methods
    }
    untuned = {'-'.join(cell) for cell in cells} - suite.tuned.keys() if suite.tuned else ()
    if untuned:
        raise ConfigError(
            f'suite {suite.name}: tuned has nothing for {", ".join(sorted(untuned))}, and others are tuned. Search '
            'these, too; or leave them out of the suite; or, to keep their values, give each of them in the file of '
            'tuned values an entry {"options": {}}'
        )
    runs = []
    for seed in suite.seeds:
        for (network, dataset, method), cfg in cells.items():
            cfg = Config(cfg.to_dict())
            cfg.setdefault('randomness', {})['seed'] = seed
            runs.append(Run(network, dataset, method, seed, cfg, **identify(cfg)))
    _check(suite, runs)
    return runs


def _check(suite: Suite, runs: Sequence[Run]) -> None:
    """Check what is known of the runs of a suite before the first of them: their metric, and that they differ.

    Raises:
        ConfigError: a data set's evaluation does not give `suite.metric`, or two networks, data sets or methods give
            the same runs.
    """
    for run in {run.dataset: run for run in runs}.values():
        check_metric(suite.metric, run.config.get('val_evaluator'), f'suite {suite.name}: metric', run.dataset)
    for axis in AXES:
        key = axis[:-1]
        seen: dict[frozenset, str] = {}
        for name in getattr(suite, axis):
            own = frozenset(
                (run.hash, run.data, *(getattr(run, other[:-1]) for other in AXES if other != axis))
                for run in runs
                if getattr(run, key) == name
            )
            other = seen.setdefault(own, name)
            if other != name:
                raise ConfigError(
                    f'suite {suite.name}: {axis}: {other} and {name} give the same runs; leave one of them out, or '
                    f'let {key}_options tell them apart'
                )


def identify(cfg: Config) -> dict[str, str]:
    """Return what the result of a config depends on.

    Returns:
        hash: hash of the config without the paths in it.
        version: `RESULTS_VERSION`, as text.
        data: hash of the names and sizes of all files of the data sets, without caches, and of the contents of the
            weights that the run begins with (local files, and those of the zoo); that of nothing where there are
            neither.
    """
    data = set()

    def plain(node):
        if isinstance(node, dict):
            if 'type' in node and isinstance(node.get('data_root'), str):
                data.add(_identity(_folder_of(node)))
            weights = {key: _contents(node[key]) for key in _WEIGHTS if isinstance(node.get(key), str)}
            data.update(weights.values())
            local = [key for key, contents in weights.items() if contents and not node[key].startswith('zoo:')]
            return {key: plain(value) for key, value in node.items() if key not in (*_PLACES, *local)}
        return [plain(x) for x in node] if isinstance(node, (list, tuple)) else node

    config = json.dumps(plain(cfg.to_dict()), sort_keys=True, default=str)
    return dict(hash=_digest([config]), version=str(RESULTS_VERSION), data=_digest(sorted(data)))


def _folder_of(dataset: Mapping[str, Any]) -> str:
    """The folder of a data set: the one of its own in `data_root`, which several data sets may share."""
    own = getattr(DATASETS.get(dataset['type']), 'name', None)
    folder = os.path.join(dataset['data_root'], own) if isinstance(own, str) else dataset['data_root']
    return folder if os.path.isdir(folder) else dataset['data_root']


@lru_cache
def _identity(root: str) -> str:
    """A hash of the names and sizes of all files in a folder, or of the contents of a file; '' where there is none."""
    if os.path.isfile(root):
        return _contents(root)
    files = sorted((os.path.relpath(path, root), _size(path)) for path in _files(root))
    return _digest(f'{name} {size}' for name, size in files) if files else ''


def _files(root: str) -> Iterator[str]:
    """All files in a folder, without those that a training makes there."""
    for folder, folders, names in os.walk(root):
        if CACHE_TAG in names:
            folders.clear()
        else:
            yield from (os.path.join(folder, name) for name in names)


def _contents(file: str) -> str:
    """A hash of a file, or of weights of the zoo; '' where they are not on this machine."""
    path = locate(file) if file.startswith('zoo:') else Path(file)
    if not path.is_file():
        return ''
    state = path.stat()
    return _hash_of_file(path, state.st_size, state.st_mtime_ns)


@lru_cache
def _hash_of_file(path: Path, size: int, changed: int) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _size(path: str) -> int:
    with suppress(OSError):  # a dangling link
        return os.path.getsize(path)
    return -1


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode(errors='surrogateescape') + b'\0')
    return digest.hexdigest()[:16]
