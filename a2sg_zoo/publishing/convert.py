"""Published checkpoints under this project's names."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint, require_match, weights_of
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.models.backbones import SpikingBackbone
from a2sg_zoo.registry import MODELS

# of what the published networks do not have, or need not
_OURS_ALONE = ('*.beta', '*.num_batches_tracked')


class Conversion(NamedTuple):
    """A converted checkpoint.

    Attributes:
        config: that builds the backbone, as far as its weights tell and the user said.
        weights: {name here: tensor}.
        names: [(official name, name here, or None if dropped)].
    """

    config: dict
    weights: dict
    names: list

    def report(self):
        """What became of every tensor of the file, one a line, and the config."""
        width = max(len(official) for official, _ in self.names)
        lines = [f'{official:{width}}  {"kept as " + name if name else "dropped"}' for official, name in self.names]
        kept = sum(name is not None for _, name in self.names)
        config = ', '.join(f'{key}={value!r}' for key, value in self.config.items())
        return '\n'.join([*lines, f'{kept} kept, {len(self.names) - kept} dropped; backbone=dict({config})'])


def convert(family, path, options=None):
    """Converts a published checkpoint of a family of backbones.

    Sizes are read off the tensors; `options` adds what these do not tell, such as num_heads, and overrides.

    Args:
        family: name of the backbone's class, such as 'Spikformer'.
        path: the published file: of timm ('state_dict' beside other entries), of MAE ('model'), or bare tensors.
        options: arguments of the backbone's constructor.

    Raises:
        ConfigError: there is no such family, or the options do not suit it.
        CheckpointError: the file cannot be read, or is of another family (the message says which) or other sizes.
    """
    cls = MODELS.get(family)
    if cls is None:
        raise MODELS.unknown(family)
    if cls not in _families():
        known = ', '.join(known.__name__ for known in _families())
        raise ConfigError(f'{family} has no converter of published checkpoints; these have: {known}')
    official = weights_of(read_checkpoint(path), path)
    names, weights = _rename(cls, official, path)
    try:
        config = {'type': family, **_sizes(cls, weights), **(options or {})}
        require_match(_skeleton(config), weights, path, allow_missing=_OURS_ALONE)
    except CheckpointError as error:
        others = [other.__name__ for other in _families() if other is not cls and _fits(other, official, path)]
        if others:
            raise CheckpointError(
                f'checkpoint {path} is not of the family {family}: it looks like {" or ".join(others)}'
            ) from error
        raise
    return Conversion(config, weights, names)


def save(conversion, source, target):
    """Writes a conversion as .safetensors, with the family, the config, and the source file's name and SHA-256.

    Raises:
        ConfigError: the target is named otherwise, and would not be read as what it is.
    """
    source = Path(source)
    if Path(target).suffix != '.safetensors':
        raise ConfigError(f'{target} must end in .safetensors, for that is what is written')
    config = {key: value for key, value in conversion.config.items() if key != 'type'}
    metadata = dict(
        format='pt',
        family=conversion.config['type'],
        config=json.dumps(config),
        source=source.name,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
    )
    weights = {name: x.clone(memory_format=torch.contiguous_format) for name, x in conversion.weights.items()}
    write_atomically(safetensors.torch.save(weights, metadata), target)


def _families():
    return [
        cls
        for cls in MODELS.module_dict.values()
        if isinstance(cls, type) and issubclass(cls, SpikingBackbone) and cls.official_names
    ]


def _rename(cls, official, path):
    names, weights = [], {}
    for name, value in official.items():
        converted, dropped = cls.from_official({name: value})
        if dropped:
            names.append((name, None))
            continue
        ((ours, value),) = converted.items()
        if ours in weights:
            raise CheckpointError(f'checkpoint {path} has two tensors that {cls.__name__} calls {ours}; one is {name}')
        weights[ours] = value
        names.append((name, ours))
    return names, weights


def _sizes(cls, weights):
    try:
        return cls.sizes_of(weights)
    except (LookupError, ValueError):
        # of another family, or of a variant that `options` must describe: what does not fit will show
        return {}


def _skeleton(config):
    with torch.device('meta'):
        return MODELS.build(config)


def _fits(cls, official, path):
    try:
        _, weights = _rename(cls, official, path)
        sizes = cls.sizes_of(weights)
        try:
            skeleton = _skeleton({'type': cls.__name__, **sizes})
        except ConfigError:
            # the default number of heads need not suit the width, and no tensor depends on it
            skeleton = _skeleton({'type': cls.__name__, **sizes, 'num_heads': 1})
        require_match(skeleton, weights, path, allow_missing=_OURS_ALONE)
    except (CheckpointError, ConfigError, LookupError, ValueError, TypeError):
        return False
    return True
