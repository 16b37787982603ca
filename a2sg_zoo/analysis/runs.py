"""What a run was: its method, its seed, its network and data, read from the folder that it left."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from a2sg_zoo.analysis.report import find_run
from a2sg_zoo.engine.parts import method_label
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError

# what tells one run from another, of its config
_METHOD = ('adaptation', 'membrane_loss', 'loss', 'optim_wrapper')
_PARTS = ('model', 'data_preprocessor', 'train_dataloader', 'test_dataloader', 'custom_hooks', *_METHOD)


@dataclass(frozen=True)
class RunFolder:
    """Attributes:
    path: folder of the run.
    checkpoint: file.
    config: file.
    method: label; where runs of one label differ in more than the seed, `read_runs` adds in what.
    choices: {dotted key: value} of all that makes the method.
    seed: an integer; None if neither the config nor run.json says it.
    title: 'NETWORK on DATA'.
    digest: of the checkpoint's bytes and of the config: network, data, method.
    """

    path: Path
    checkpoint: Path
    config: Path
    method: str
    choices: dict
    seed: int | None
    title: str
    digest: str

    @property
    def name(self):
        return f'{self.path.parent.name}/{self.path.name}'


def read_runs(paths, which='last'):
    """The runs in some folders, with labels that tell their methods apart.

    Args:
        paths: folders.
        which: 'best' or 'last' checkpoint of each.

    Returns:
        [RunFolder] in the order of `paths`.

    Raises:
        CheckpointError, ConfigError: a folder has no checkpoint or no config; or two have the same checkpoint.
    """
    runs, seen = [], {}
    for path in paths:
        run = _read(Path(path), which)
        if run.digest in seen:
            raise ConfigError(
                f'{run.path} and {seen[run.digest]} hold the same checkpoint of the same config: one run '
                'would count twice; name it once'
            )
        seen[run.digest] = run.path
        runs.append(run)
    return _told_apart(runs)


def _read(path, which):
    if not path.is_dir():
        raise ConfigError(f'{path} is not the folder of a run; the comparison takes folders, for their logs')
    checkpoint, config, _ = find_run(path, which=which)
    cfg = prepare_config(config)
    method = {key: cfg.get(key) or {} for key in _METHOD}
    choices = dict(_flat({**method, 'head': _head(cfg.model).get('loss', {})}))
    digest = hashlib.sha256(json.dumps({key: cfg.get(key) for key in _PARTS}, sort_keys=True, default=str).encode())
    digest.update(checkpoint.read_bytes())
    return RunFolder(
        path, checkpoint, config, method_label(cfg), choices, _seed(cfg, path), _title(cfg), digest.hexdigest()
    )


def _head(model):
    return model.get('head') or model.get('decode_head') or {}


def _flat(node, prefix=''):
    """(dotted key, value) of nested dictionaries and lists, as text."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else None
    if items is None:
        yield prefix, str(node)
    else:
        for key, value in items:
            # how often a run writes its log is no choice of its method
            if key != 'log_interval':
                yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))


def _seed(cfg, path):
    seed = cfg.get('randomness', {}).get('seed')
    if seed is None and (path / 'run.json').is_file():  # drawn when the run began
        try:
            seed = json.loads((path / 'run.json').read_text()).get('seed')
        except ValueError as error:
            raise ConfigError(f'{path / "run.json"} is damaged; remove it') from error
    return seed


def _title(cfg):
    dataset = cfg.train_dataloader.dataset
    size = f' {dataset.size} x {dataset.size}' if isinstance(dataset.get('size'), int) else ''
    folder = f' {Path(dataset.data_root).name}' if dataset.get('data_root') else ''
    return f'{cfg.model.backbone.type} on {dataset.type}{folder}{size}'


def _told_apart(runs):
    """Labels with the choices in which runs of one label and title differ."""
    labels = {}
    for run in runs:
        labels.setdefault((run.title, run.method), []).append(run)
    result = []
    for run in runs:
        alike = labels[run.title, run.method]
        keys = sorted(
            {
                key
                for other in alike
                for key in other.choices.keys() | run.choices.keys()
                if any(x.choices.get(key) != run.choices.get(key) for x in alike)
            }
        )
        more = ', '.join(f'{".".join(key.split(".")[-2:])} = {run.choices.get(key, "none")}' for key in keys)
        result.append(RunFolder(**{**vars(run), 'method': f'{run.method} [{more}]' if more else run.method}))
    return result
