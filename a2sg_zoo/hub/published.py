"""Weight files that describe themselves: safetensors whose metadata say which network they are for."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError
from a2sg_zoo.hub import loaders as _  # noqa: F401  makes MMEngine's `init_cfg` read weights as data only
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, require_match, weights_of, width_names
from a2sg_zoo.hub.describing import LEFT_OUT, describe
from a2sg_zoo.hub.description import Description, checked, parse_config, require_bounded
from a2sg_zoo.hub.files import expanded, write_atomically
from a2sg_zoo.hub.index import ADDRESSES
from a2sg_zoo.hub.pretrained import pretrained_file
from a2sg_zoo.hub.resizing import heads_of, resized_config, resized_widths
from a2sg_zoo.neurons import set_time_steps
from a2sg_zoo.registry import MODELS, NEURONS, SCOPE, SURROGATES

_KEY = 'a2sg_zoo'
# what configs of this package name of MMSegmentation, MMEngine and PyTorch; constructors of other classes there take
# paths and addresses, and load from them what may run code
_FOREIGN = (
    *('EncoderDecoder', 'SegDataPreProcessor', 'ImgDataPreprocessor', 'FPN', 'BN', 'SyncBN', 'ReLU'),
    *('FPNHead', 'UPerHead', 'SegformerHead', 'FCNHead', 'PSPHead', 'ASPPHead', 'DepthwiseSeparableASPPHead'),
    *('CrossEntropyLoss', 'DiceLoss', 'FocalLoss', 'OHEMPixelSampler'),
)


# bytes of a network to bytes of its file: numbers of 8 bits become numbers of 32 and need not be few
_LARGEST_PROPORTION, _ANY_NETWORK = 8, 1_000_000


def build(config: Mapping, where: str) -> nn.Module:
    """The network of a config from anywhere, with initial weights.

    Args:
        config: the part `model` of a config.
        where: begins the messages, such as 'checkpoint x.pth'.

    Raises:
        CheckpointError: the config names something that is not allowed, is out of bounds (see
            `description.require_bounded`), or cannot be built.
    """
    require_bounded(config, where)
    allowed = {*_FOREIGN, *(name for registry in (MODELS, NEURONS, SURROGATES) for name in registry.own_names())}
    for path, key, value in _entries(config, 'model'):
        if key in LEFT_OUT:
            raise CheckpointError(f'{where}: its config has {path}, which a published network must not have')
        if key == 'class_weight' and isinstance(value, str):  # the losses would unpickle that file
            raise CheckpointError(
                f'{where}: its config has {path} = {value!r}, a file. It was not read. Class weights must be a list of '
                'numbers'
            )
        # MMEngine imports whatever module an unregistered name names, and calls what is in it
        if key == 'type' and (not isinstance(value, str) or value not in allowed):
            raise CheckpointError(
                f'{where}: its config has {path} = {value!r}, which is not registered in a2sg_zoo.registry, nor one of '
                f'{", ".join(_FOREIGN)}. Nothing of it was run. If it is a class of yours, register it there, and '
                'import its module first'
            )
    return construct(config, where)


def construct(config: Mapping, where: str) -> nn.Module:
    """The network of a config that may run code, such as one from a config file; see `build` for any other.

    Raises:
        CheckpointError: it cannot be built.
    """
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            network = MODELS.build(ConfigDict(deepcopy(dict(config))))
            set_time_steps(network)
            return network
    except A2SGError as error:
        raise CheckpointError(f'{where}: {error}') from error
    except Exception as error:  # of a constructor that got any arguments from anyone
        raise CheckpointError(f'{where}: this version of a2sg_zoo cannot build its network: {error}') from error


def _entries(node: Any, path: str) -> list[tuple[str, Any, Any]]:
    """(path, key, value) of every entry of every dictionary in a config."""
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    found = []
    for key, value in children:
        below = f'{path}[{key}]' if isinstance(key, int) else f'{path}.{key}'
        found += [(below, key, value)] if isinstance(node, Mapping) else []
        found += _entries(value, below)
    return found


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], Description]:
    """(weights, description) of a published file, or of a checkpoint of `a2sg-zoo train`. No code in it is run.

    Raises:
        CheckpointError: the file cannot be read, does not say which network it is for, or asks for too much.
    """
    contents = read_checkpoint(path)
    where = f'checkpoint {path}'
    weights = weights_of(contents, path)
    if Path(path).suffix == '.safetensors':
        return weights, _read_description(path, where)
    meta = contents.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    return weights, describe(parse_config(meta.get('cfg')), meta.get('dataset_meta'), where)


def class_names(path: str | Path, contents: Any = None) -> list[str] | None:
    """The names of the classes in a weight file, in the order of their labels; None where it names none.

    Args:
        path: of the file. Of a published file, only the metadata are read.
        contents: what `read_checkpoint` returned for the file, if it has been read.
    """
    if Path(path).suffix == '.safetensors':
        try:
            return _read_description(path, f'checkpoint {path}').classes
        except CheckpointError:  # weights of another package
            return None
    if contents is None:
        contents = read_checkpoint(path)
    names = contents if isinstance(contents, Mapping) else {}
    for key in ('meta', 'dataset_meta', 'classes'):
        names = names.get(key) if isinstance(names, Mapping) else None
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return None
    return list(names) or None


def read_backbone(contents: Any, path: str | Path) -> tuple[dict[str, Any], bool]:
    """What a checkpoint says about its backbone.

    Args:
        contents: what `read_checkpoint` returned.
        path: of the file, 'zoo:NAME', or 'hf:OWNER/NAME'.

    Returns:
        (arguments of the backbone as far as the file says, whether the file is a converted official checkpoint).
    """
    told: Any = None
    official = False
    if str(path).startswith(ADDRESSES) or Path(path).suffix == '.safetensors':
        metadata = read_metadata(path)
        official = 'family' in metadata
        try:
            found = json.loads(metadata.get('config' if official else _KEY) or 'null')
        except (ValueError, RecursionError):
            found = None
        told = found if official else (found.get('model') if isinstance(found, dict) else None)
    else:
        meta = contents.get('meta') if isinstance(contents, dict) else None
        told = parse_config(meta.get('cfg') if isinstance(meta, dict) else None).get('model')
    if not official:
        told = told.get('backbone') if isinstance(told, dict) else None
    return (told if isinstance(told, dict) else {}), official


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata in the header of a .safetensors file.

    Args:
        path: file, 'zoo:NAME', or 'hf:OWNER/NAME'.

    Raises:
        safetensors.SafetensorError, OSError: it cannot be read.
    """
    path = pretrained_file(str(path)) if str(path).startswith(ADDRESSES) else expanded(path)
    with safetensors.safe_open(path, 'pt') as file:
        return file.metadata() or {}


def _read_description(path: str | Path, where: str) -> Description:
    text = read_metadata(path).get(_KEY)
    try:
        description = Description(**json.loads(text or 'null'))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f'{where}: it does not say which network it is for: its metadata have no {_KEY} with '
            f'{", ".join(field.name for field in fields(Description))}. Files of `a2sg-zoo publish` do'
        ) from error
    return checked(description, where)


def load(
    path: str | Path, device: str | torch.device = 'cpu', num_classes: int | None = None, T: int | None = None
) -> tuple[nn.Module, Description]:
    """The network of a published file or of a checkpoint of `a2sg-zoo train`.

    Args:
        path: file.
        device: where the network goes.
        num_classes: number of classes. If the file has another number, the tensors that depend on it have initial
            weights, and `description.classes` is empty.
        T: number of time steps. If the file has another number, the widths of each layer are replaced by their mean.
            A network with parameters for each time step, such as those of `PSN`, cannot have another number.

    Returns:
        (network in evaluation mode, description).

    Raises:
        CheckpointError: the file cannot be read, does not say which network it is for, asks for too much, or does not
            fit it.
        ConfigError: the device does not exist, or the network cannot have so many classes or time steps.
    """
    weights, description = read(path)
    where = f'checkpoint {path}'
    skeleton = _skeleton(description, weights, path)
    config = resized_config(description.model, num_classes, T, where)
    model = build(config, where)
    fresh = _of_another_shape(model, skeleton)
    if T is not None:
        with torch.device('meta'):
            before = build(resized_config(description.model, num_classes), where)
        if timed := sorted(_of_another_shape(model, before)):
            raise ConfigError(
                f'{where}: T = {T} does not fit, because the network has parameters for each time step, such as '
                f'{timed[0]}, and they are learnt for T = {before.backbone.T}; leave out T'
            )
    weights = {name: x for name, x in weights.items() if name not in fresh}
    load_into(
        model, weights if T is None else resized_widths(weights, width_names(model), T), path, allow_missing=fresh
    )
    classes = [] if num_classes not in (None, len(description.classes)) else description.classes
    return move(model, device).eval(), replace(description, model=config, classes=classes)


def _skeleton(description: Description, weights: Mapping[str, torch.Tensor], path: str | Path) -> nn.Module:
    """The network of a file without memory for its tensors, so that a description that asks for too much takes none.

    Raises:
        CheckpointError: the network does not fit the file, or needs far more memory than the file has bytes.
    """
    with torch.device('meta'):
        skeleton = build(description.model, f'checkpoint {path}')
    require_match(skeleton, weights, path)
    needed, size = sum(x.nbytes for x in skeleton.state_dict().values()), Path(path).stat().st_size
    if needed > _LARGEST_PROPORTION * size + _ANY_NETWORK:
        raise CheckpointError(
            f'checkpoint {path} has {size:,} bytes and describes a network of {needed:,}: its tensors repeat their data'
        )
    heads = (getattr(skeleton, name, None) for name in ('decode_head', 'head', 'detection_head'))
    head = next((found for found in heads if found is not None), None)
    if getattr(head, 'num_classes', None) != len(description.classes):
        raise CheckpointError(
            f'checkpoint {path} names {len(description.classes)} classes, but the head of its network has '
            f'{getattr(head, "num_classes", "none")}'
        )
    return skeleton


def _of_another_shape(model: nn.Module, skeleton: nn.Module) -> set[str]:
    """The names of the tensors that have another shape in the second network; widths of surrogates do not count."""
    shapes = {name: x.shape for name, x in skeleton.state_dict().items()}
    return {name for name, x in model.state_dict().items() if x.shape != shapes.get(name)} - width_names(model)


def class_layers_of_another_size(
    model: nn.Module, config: Mapping, weights: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    """The tensors of a network that weights for another number of classes do not fit, by that number alone.

    The networks of the same config for one and for two classes more show how many rows a class adds to each tensor.

    Args:
        model: network.
        config: its config, the part `model` of a config file.
        weights: {name: tensor}.

    Returns:
        {name: (classes of the network, classes of the weights)}; empty where the tensors do not agree on a number.
    """
    numbers = [head['num_classes'] for head in heads_of(config) if type(head.get('num_classes')) is int]
    changed = {
        name: len(weights[name])
        for name, x in model.state_dict().items()
        if isinstance(weights.get(name), torch.Tensor)
        and 0 < weights[name].dim() == x.dim()
        and len(weights[name]) != len(x)
        and weights[name].shape[1:] == x.shape[1:]
    }
    if not changed or not numbers:
        return {}
    try:
        with torch.device('meta'):
            one, two = (construct(resized_config(config, numbers[0] + more), 'model').state_dict() for more in (1, 2))
    except A2SGError:
        return {}
    found = {}
    for name, rows in changed.items():
        each = len(two[name]) - len(one[name]) if name in one and one[name].dim() else 0
        if each > 0 and (rows - len(one[name])) % each == 0:
            found[name] = (numbers[0], numbers[0] + 1 + (rows - len(one[name])) // each)
    return found if len({*found.values()}) == 1 else {}


def move(model: nn.Module, device: str | torch.device) -> nn.Module:
    """The network, moved to a device.

    Raises:
        ConfigError: the device does not exist.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # of PyTorch, for a device that does not exist
        raise ConfigError(f'device {str(device)!r} cannot be used: {str(error).splitlines()[0]}') from error


def save(weights: Mapping[str, torch.Tensor], description: Description, path: str | Path) -> None:
    """Writes a published file.

    Matrices and kernels are stored in half precision. Vectors, such as the statistics of batch norm, and tensors that
    half precision cannot hold are stored as they are. What a policy stores in a neuron is left out.

    Args:
        weights: {name: tensor}.
        description: of the network.
        path: .safetensors file to write.

    Raises:
        CheckpointError: the description is out of bounds, or the file cannot be written.
    """
    checked(description, f'checkpoint {path}')
    weights = {
        name: _halved(x).contiguous().clone()
        for name, x in weights.items()
        if not name.rpartition('.')[2].startswith('policy_')
    }
    text = json.dumps(asdict(description), sort_keys=True)
    write_atomically(safetensors.torch.save(weights, {'format': 'pt', _KEY: text}), path)


def _halved(x: torch.Tensor) -> torch.Tensor:
    x = x.detach().cpu()
    if x.dim() < 2 or not x.is_floating_point():
        return x
    half = x.to(torch.float16)
    return half if half.isfinite().all() else x
