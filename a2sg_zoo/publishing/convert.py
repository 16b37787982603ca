"""Official checkpoints of published networks, under this project's parameter names."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import nn

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint, require_match, weights_of
from a2sg_zoo.hub.files import expanded, write_atomically
from a2sg_zoo.hub.published import read_metadata
from a2sg_zoo.models.backbones import SpikingBackbone
from a2sg_zoo.registry import MODELS

# parameters that the published networks do not have, or may lack
_OURS_ALONE = ('*.beta', '*.num_batches_tracked')


class Conversion(NamedTuple):
    """A converted checkpoint.

    Attributes:
        config: of the backbone: what the weights, the published code and the user say about its arguments.
        weights: {name here: tensor}.
        names: pairs (official name, name here), or (official name, None) for a parameter that was dropped.
    """

    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    names: list[tuple[str, str | None]]

    def report(self) -> str:
        """What became of each tensor of the file, one a line, and the config of the backbone."""
        width = max(len(official) for official, _ in self.names)
        lines = [f'{official:{width}}  {"kept as " + name if name else "dropped"}' for official, name in self.names]
        kept = sum(name is not None for _, name in self.names)
        config = ', '.join(f'{key}={value!r}' for key, value in self.config.items())
        return '\n'.join([*lines, f'{kept} kept, {len(self.names) - kept} dropped; backbone=dict({config})'])


def convert(family: str, path: str | Path, options: Mapping[str, Any] | None = None) -> Conversion:
    """Converts an official checkpoint of a family of backbones.

    The config of the backbone has the sizes of the tensors, the arguments that the published network has and no tensor
    tells (such as `carry_over=True` of QKFormer), and `options`.

    Args:
        family: class of the backbone, such as 'Spikformer'.
        path: official file in any usual layout, see `a2sg_zoo.hub.checkpoint.weights_of`.
        options: arguments of the backbone that neither tells, such as num_heads, and overrides.

    Raises:
        ConfigError: there is no such family, or the options do not suit it.
        CheckpointError: the file cannot be read, or is of another family (which the message names) or of other sizes.
    """
    cls = MODELS.get(family)
    if cls is None:
        raise MODELS.unknown(family)
    if cls not in _families():
        known = ', '.join(known.__name__ for known in _families())
        raise ConfigError(f'{family} has no converter of official checkpoints; these families have: {known}')
    official = weights_of(read_checkpoint(path), path)
    names, weights = _rename(cls, official, path)
    try:
        published = {key: value for key, (value, _) in cls.official_arguments.items()}
        config = {'type': family, **published, **_sizes(cls, weights), **(options or {})}
        require_match(_skeleton(config), weights, path, allow_missing=_OURS_ALONE)
    except CheckpointError as error:
        others = [other.__name__ for other in _families() if other is not cls and _fits(other, official, path)]
        if others:
            raise CheckpointError(
                f'checkpoint {path} is not of the family {family}: it looks like {" or ".join(others)}'
            ) from error
        raise
    return Conversion(config, weights, names)


def save(conversion: Conversion, source: str | Path, target: str | Path) -> None:
    """Writes a conversion as .safetensors, with family, config, and name and SHA-256 of the official file.

    Args:
        conversion: what `convert` returned.
        source: official file.
        target: file to write. An existing file is replaced only if it is a conversion, too.

    Raises:
        ConfigError: the target has another suffix, or is a file that is no conversion.
        CheckpointError: the target cannot be written.
    """
    source, target = expanded(source), expanded(target)
    if target.suffix != '.safetensors':
        raise ConfigError(f'{target} must end in .safetensors, the format of the file')
    _require_conversion(target)
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


def _require_conversion(target: Path) -> None:
    try:
        if not target.exists() or target.is_file() and 'family' in read_metadata(target):
            return
    except (OSError, ValueError, safetensors.SafetensorError):
        pass
    raise ConfigError(
        f'{target} exists and is no converted checkpoint, so it is left as it is; choose another name, or move it away'
    )


def _families() -> list[type[SpikingBackbone]]:
    return [
        cls
        for cls in MODELS.module_dict.values()
        if isinstance(cls, type) and issubclass(cls, SpikingBackbone) and cls.official_names
    ]


def _rename(cls: type[SpikingBackbone], official: Mapping[str, torch.Tensor], path: str | Path) -> tuple[list, dict]:
    converted, dropped = cls.from_official(dict(official))
    unused = set(dropped)
    names = [(name, None if name in unused else cls.name_here(name)) for name in official]
    seen: set[str] = set()
    for name, ours in names:
        if ours in seen:
            raise CheckpointError(f'checkpoint {path} has two tensors that {cls.__name__} calls {ours}; one is {name}')
        if ours is not None:
            seen.add(ours)
    return names, converted


def _sizes(cls: type[SpikingBackbone], weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    try:
        return cls.sizes_of(dict(weights))
    except (LookupError, ValueError):
        # another family, or a variant that `options` must describe: the comparison of shapes decides
        return {}


def _skeleton(config: Mapping[str, Any]) -> nn.Module:
    """The backbone without memory for its tensors."""
    with torch.device('meta'):
        return MODELS.build(dict(config))


def _fits(cls: type[SpikingBackbone], official: Mapping[str, torch.Tensor], path: str | Path) -> bool:
    try:
        _, weights = _rename(cls, official, path)
        sizes = cls.sizes_of(weights)
        try:
            skeleton = _skeleton({'type': cls.__name__, **sizes})
        except ConfigError:
            # the default number of heads may not suit the width, and no tensor depends on it
            skeleton = _skeleton({'type': cls.__name__, **sizes, 'num_heads': 1})
        require_match(skeleton, weights, path, allow_missing=_OURS_ALONE)
    except (CheckpointError, ConfigError, LookupError, ValueError, TypeError):
        return False
    return True
