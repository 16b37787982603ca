"""The runs of a suite, and what makes two runs the same."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmengine.config import Config

import a2sg_zoo
from a2sg_zoo.benchmark.suites.results import run_name
from a2sg_zoo.benchmark.suites.suite import compose

# packages that no training run goes through
_ELSEWHERE = ('analysis', 'apis', 'benchmark', 'cli', 'configs', 'evidence', 'export', 'hub', 'publishing')


@dataclass
class Run:
    """One training.

    Attributes:
        network, dataset, method, seed: where it stands in the suite.
        config: the complete config, an mmengine `Config`.
        hash: of the config, wherever the data may lie.
        code: version of this package: a hash of the sources that a training goes through.
        data: {data set's config key: what tells its data from other data}.
    """

    network: str
    dataset: str
    method: str
    seed: int
    config: Config
    hash: str
    code: str
    data: str

    @property
    def name(self):
        return run_name(self.network, self.dataset, self.method, self.seed)

    def is_done(self, result):
        """Whether `result` is that of this very run."""
        return result['status'] == 'finished' and all(
            result[key] == getattr(self, key) for key in ('hash', 'code', 'data')
        )


def plan(suite, options=None):
    """All runs of a suite, seeds outermost, so that what is there early covers everything; each config is validated.

    Args:
        suite: a `Suite`.
        options: further overrides {dotted key: value}, which come last.

    Raises:
        ConfigError: a run's config has a mistake.
    """
    code, cells = code_version(), {}
    for network in suite.networks:
        for dataset in suite.datasets:
            for method in suite.methods:
                cells[network, dataset, method] = compose(suite, network, dataset, method, options or {})
    runs = []
    for seed in suite.seeds:
        for (network, dataset, method), cfg in cells.items():
            cfg = Config(cfg.to_dict())
            cfg.setdefault('randomness', {})['seed'] = seed
            digest, data = _fingerprint(cfg)
            runs.append(Run(network, dataset, method, seed, cfg, digest, code, data))
    return runs


def _fingerprint(cfg):
    """(hash of a config without its paths, hash of the data at those paths)."""
    data = set()

    def plain(node):
        if isinstance(node, dict):
            if isinstance(node.get('data_root'), str):
                data.add(_identity(node['data_root']))
            return {key: plain(value) for key, value in node.items() if key not in ('data_root', 'work_dir')}
        return [plain(x) for x in node] if isinstance(node, (list, tuple)) else node

    config = json.dumps(plain(cfg.to_dict()), sort_keys=True, default=str)
    return _digest([config]), _digest(sorted(data))


@lru_cache
def _identity(root):
    """A hash of the names and sizes of all files under a folder; '' where there is none."""
    files = sorted(
        (os.path.relpath(os.path.join(folder, name), root), os.path.getsize(os.path.join(folder, name)))
        for folder, _, names in os.walk(root)
        for name in names
    )
    return _digest(f'{name} {size}' for name, size in files) if files else ''


def code_version():
    """A hash of the sources that a training goes through."""
    package = Path(a2sg_zoo.__file__).parent
    return _digest(
        path.read_text()
        for path in sorted(package.rglob('*.py'))
        if path.relative_to(package).parts[0] not in _ELSEWHERE
    )


def _digest(texts):
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b'\0')
    return digest.hexdigest()[:16]
