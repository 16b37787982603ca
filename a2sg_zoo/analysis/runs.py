"""The runs of a comparison: method, seed, network and data of each, read from its folder."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from a2sg_zoo.analysis.loading import find_run
from a2sg_zoo.engine.parts import method_label
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError

# the parts of a config in which runs of one method are equal; `model` has the loss of a classifier, too
_METHOD = (
    'model',
    'adaptation',
    'membrane_loss',
    'optim_wrapper',
    'ema',
    'frozen',
    'param_scheduler',
    'train_cfg',
    'train_dataloader',
    'custom_hooks',
)
# keys within them that say where things are, how data are loaded, and how often a run is scored or writes its log
_NO_CHOICES = {
    'data_root',
    'cache_root',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'val_interval',
    'log_interval',
}
# the parts that a measurement depends on, besides the checkpoint
_MEASURED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'test_dataloader',
    'custom_hooks',
    'adaptation',
    'membrane_loss',
    'loss',
    'optim_wrapper',
)


@dataclass(frozen=True)
class RunFolder:
    """A run, as it describes itself in its folder.

    Attributes:
        path: folder of the run.
        checkpoint: file of its weights.
        config: file of its config.
        method: label of the method. Where runs with one label differ in more than the seed, such as in T or in the
            number of iterations, `read_runs` adds the differences.
        choices: {dotted key: value} of everything that makes the method: network, policy, losses, optimiser, schedule,
            training data and hooks.
        seed: seed of the run; None if neither the config nor run.json has one.
        title: 'NETWORK on DATA'.
        digest: SHA-256 of the checkpoint and of the config's network, data and method.
    """

    path: Path
    checkpoint: Path
    config: Path
    method: str
    choices: dict[str, str]
    seed: int | None
    title: str
    digest: str

    @property
    def name(self) -> str:
        """Folder of the run and its parent, for messages."""
        return f'{self.path.parent.name}/{self.path.name}'


def read_runs(paths: Sequence[str | Path], which: str = 'last') -> list[RunFolder]:
    """Read the runs in some folders, with labels that distinguish their methods.

    Args:
        paths: folders of runs.
        which: 'best' or 'last' checkpoint of each.

    Returns:
        The runs, in the order of `paths`.

    Raises:
        CheckpointError: a folder has no checkpoint.
        ConfigError: a path is not a folder, a folder has no config, or two folders have the same checkpoint.
    """
    runs: list[RunFolder] = []
    seen: dict[str, Path] = {}
    for path in paths:
        run = _read(Path(path), which)
        if run.digest in seen:
            raise ConfigError(
                f'{run.path} and {seen[run.digest]} have the same checkpoint of the same config, so one run would '
                'count twice; name it once'
            )
        seen[run.digest] = run.path
        runs.append(run)
    return _distinguish_methods(runs)


def _read(path: Path, which: str) -> RunFolder:
    if not path.is_dir():
        raise ConfigError(f'{path} is not the folder of a run; a comparison needs folders, because it reads their logs')
    checkpoint, config, _ = find_run(path, which=which)
    cfg = prepare_config(config)
    choices = dict(_flatten({key: cfg.get(key) or {} for key in _METHOD}))
    digest = hashlib.sha256(json.dumps({key: cfg.get(key) for key in _MEASURED}, sort_keys=True, default=str).encode())
    digest.update(checkpoint.read_bytes())
    return RunFolder(
        path, checkpoint, config, method_label(cfg), choices, _seed(cfg, path), _title(cfg), digest.hexdigest()
    )


def _flatten(node: Any, prefix: str = '') -> Iterator[tuple[str, str]]:
    """(dotted key, value as text) of nested dictionaries and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else None
    if items is None:
        yield prefix, str(node)
    else:
        for key, value in items:
            if key not in _NO_CHOICES:
                yield from _flatten(value, f'{prefix}.{key}' if prefix else str(key))


def _seed(cfg: Config, path: Path) -> int | None:
    seed = cfg.get('randomness', {}).get('seed')
    if seed is None and (path / 'run.json').is_file():  # a run without a seed draws one and writes it there
        try:
            seed = json.loads((path / 'run.json').read_text()).get('seed')
        except ValueError as error:
            raise ConfigError(f'{path / "run.json"} is damaged; remove it') from error
    return seed


def _title(cfg: Config) -> str:
    dataset = cfg.train_dataloader.dataset
    size = f' {dataset.size} x {dataset.size}' if isinstance(dataset.get('size'), int) else ''
    folder = f' {Path(dataset.data_root).name}' if dataset.get('data_root') else ''
    return f'{cfg.model.backbone.type} on {dataset.type}{folder}{size}'


def _distinguish_methods(runs: list[RunFolder]) -> list[RunFolder]:
    """The runs, with their differences in the label where runs of one label and title differ."""
    same: dict[tuple[str, str], list[RunFolder]] = {}
    for run in runs:
        same.setdefault((run.title, run.method), []).append(run)
    result = []
    for run in runs:
        others = same[run.title, run.method]
        keys = sorted(
            {
                key
                for other in others
                for key in other.choices.keys() | run.choices.keys()
                if any(x.choices.get(key) != run.choices.get(key) for x in others)
            }
        )
        more = ', '.join(f'{_shortened(key)} = {run.choices.get(key, "none")}' for key in keys)
        result.append(replace(run, method=f'{run.method} [{more}]') if more else run)
    return result


def _shortened(key: str) -> str:
    """The last name of a dotted key and the one before it, with the places in lists between the two."""
    return re.findall(r'(?:[^.]+(?:\.\d+)*\.)?[^.]+$', key)[0]
