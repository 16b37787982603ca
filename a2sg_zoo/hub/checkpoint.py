"""Checkpoints: read without running code from them, in every usual layout, and only into the network that they fit."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from a2sg_zoo.errors import CheckpointError, printable
from a2sg_zoo.hub.description import network_named_in
from a2sg_zoo.hub.files import expanded
from a2sg_zoo.hub.index import ADDRESSES

# names that a message lists at most
_SHOWN = 8
_HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')
# keys under which training programs store the weights: MMEngine, timm and Lightning; PyTorch's tutorials; MAE, DeiT and
# SpikingJelly; DeepSpeed; and small repositories
WEIGHT_KEYS = ('state_dict', 'model_state_dict', 'model', 'module', 'net')
# dictionaries around the weights; more would be a file that contains itself
_DEEPEST_LAYOUT = 4
# what torch.compile puts into the names of a module that it wraps
_COMPILED = '_orig_mod'


def _history_statistic(owner: Any, name: Any) -> Any:
    """Stands in for `getattr`, through which HistoryBuffers refer to their methods. The real one would return any
    attribute of any allowed object, up to `builtins.exec`, for the buffer to call later."""
    if owner is not HistoryBuffer or name not in _HISTORY_STATISTICS:
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def _safe_globals() -> list:
    functions = {'_reconstruct': np.ndarray([0]).__reduce__()[0], 'scalar': np.float64(0).__reduce__()[0]}
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All']}
    return [
        HistoryBuffer,
        (_history_statistic, 'builtins.getattr'),
        argparse.Namespace,
        (slice, 'builtins.slice'),
        np.ndarray,
        np.dtype,
        *dtypes,
        # NumPy 2 moved its core; files of either version are read by either
        *(
            (function, f'numpy.{core}.multiarray.{name}')
            for name, function in functions.items()
            for core in ('core', '_core')
        ),
    ]


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> Any:
    """The contents of a checkpoint file. No code in it is run.

    `.safetensors` files hold nothing but tensors. Of other files only tensors, plain containers and the few classes
    that checkpoints of MMEngine and timm contain are read; anything else is refused.

    Args:
        path: file, 'zoo:NAME' for weights of the zoo, or 'hf:OWNER/NAME' for weights of the Hugging Face Hub.
        map_location: device of the tensors; see `torch.load`.

    Returns:
        What was saved; usually a dictionary. `weights_of` finds the weights in it.

    Raises:
        CheckpointError: the file is missing or damaged, or names something that is not allowed.
    """
    if str(path).startswith(ADDRESSES):
        from a2sg_zoo.hub.pretrained import pretrained_file

        path = pretrained_file(str(path))
    path = expanded(path)
    try:
        if not path.is_file():
            what = 'is a folder, not a file' if path.is_dir() else 'does not exist, or is no regular file'
            raise CheckpointError(f'checkpoint {path} {what}')
        if path.suffix == '.safetensors':
            return safetensors.torch.load_file(path, device=str(map_location or 'cpu'))
        _refuse_compressed(path)
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(
            r'GLOBAL (.+?) (?:was not|whose)|GLOBAL (getattr\(.*\))|unrecognized (function .*)', str(error)
        )
        if named:
            raise CheckpointError(
                f'checkpoint {path} is refused: it names {next(filter(None, named.groups()))}, which no checkpoint '
                'needs; unpickled, it could run code. None of it was run. If you trust its source, convert the weights '
                'to .safetensors with the program that saved them'
            ) from error
        raise CheckpointError(_damaged(path, error)) from error
    except MemoryError as error:
        raise CheckpointError(f'checkpoint {path} does not fit into the memory of this machine') from error
    except (CheckpointError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of a parser that got any bytes from anyone
        raise CheckpointError(_damaged(path, error)) from error


def _refuse_compressed(path: Path) -> None:
    """PyTorch stores tensors as they are; an archive that unpacks to more than its size would fill the memory."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            unpacked = sum(member.file_size for member in file.infolist())
        if unpacked > path.stat().st_size:
            raise CheckpointError(
                f'checkpoint {path} is refused: its {path.stat().st_size:,} bytes unpack to {unpacked:,}, and PyTorch '
                'does not compress. If you trust its source, load it there and save it again'
            )


def _damaged(path: Path, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    try:
        size = f'{path.stat().st_size} bytes; '
    except OSError:
        size = ''
    return (
        f'checkpoint {path} cannot be read: it is no checkpoint, is damaged, or was cut short ({size}{reason}). '
        'Download or copy it again, or use another one'
    )


def weights_of(contents: Any, path: str | Path) -> dict[str, torch.Tensor]:
    """The weights in the contents of a checkpoint of any usual layout.

    They are found bare, or under 'state_dict' (MMEngine, timm, Lightning), 'model_state_dict', 'model' (MAE, DeiT,
    SpikingJelly), 'module' (DeepSpeed) or 'net'. The names lose the prefix `module.` of a parallel wrapper and every
    `_orig_mod.` of a compiled network.

    Args:
        contents: what `read_checkpoint` returned.
        path: where it came from, for messages.

    Returns:
        {name: tensor}.

    >>> weights_of({'model': {'module._orig_mod.fc.bias': torch.zeros(2)}}, 'x.pth')
    {'fc.bias': tensor([0., 0.])}

    Raises:
        CheckpointError: there are no weights, two have the same name, or some are sparse, quantized, of a type that
            PyTorch cannot compute with, or not finite (NaN or infinity).
    """
    for _ in range(_DEEPEST_LAYOUT):
        inner = [contents[key] for key in WEIGHT_KEYS if isinstance(contents, dict) and is_nest(contents.get(key))]
        contents = inner[0] if inner else contents
    found = {k: x for k, x in contents.items() if isinstance(x, torch.Tensor)} if isinstance(contents, dict) else {}
    if not found:
        raise CheckpointError(
            f'checkpoint {path} holds no weights: neither tensors, nor a dictionary of them under '
            f'{", ".join(map(repr, WEIGHT_KEYS))}'
        )
    if not all(isinstance(name, str) for name in found):
        raise CheckpointError(f'checkpoint {path} has tensors whose names are no text, so it is not of a network')
    weights = {}
    for name, plain in zip(found, _plain_names(found)):
        if plain in weights:
            raise CheckpointError(f'checkpoint {path} has two tensors named {printable(plain)!r:.100}')
        weights[plain] = found[name]
    _require_plain(weights, path)
    _require_finite(weights, path)
    return weights


def weights_under(prefix: str, weights: Mapping[str, torch.Tensor], path: str | Path) -> dict[str, torch.Tensor]:
    """The weights whose names begin with a prefix, without it.

    Args:
        prefix: such as 'backbone.'; the dot at the end may be left out.
        weights: {name: tensor}.
        path: where they came from, for the message.

    Raises:
        CheckpointError: no name has the prefix.
    """
    prefix = prefix.rstrip('.') + '.'
    found = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
    if not found:
        raise CheckpointError(f'checkpoint {path} has no tensor with init_cfg.prefix = {prefix!r}')
    return found


def is_nest(node: Any) -> bool:
    """Whether an entry of a checkpoint is a dictionary that may hold weights, further down or right here."""
    return isinstance(node, dict) and any(isinstance(x, (torch.Tensor, dict)) for x in node.values())


def _plain_names(names: Iterable[str]) -> list[str]:
    """Names without what wrappers of the whole network, and compilation of any part of it, add to them."""
    plain = ['.'.join(part for part in name.split('.') if part != _COMPILED) for name in names]
    while plain and all(name.startswith('module.') for name in plain):
        plain = [name.removeprefix('module.') for name in plain]
    return plain


def _require_plain(weights: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """PyTorch cannot copy other tensors into the parameters of a network."""
    faults = [f'{name} ({x.layout}, {x.dtype})' for name, x in weights.items() if not _is_plain(x)]
    if faults:
        raise CheckpointError(
            f'checkpoint {path} has {len(faults)} sparse, quantized or packed tensors among its {len(weights)}: '
            f'{_listed(faults)}. Convert them to dense tensors of floating-point numbers with the program that saved '
            'them'
        )


def _is_plain(x: torch.Tensor) -> bool:
    try:
        torch.empty(1, dtype=x.dtype).to(torch.complex64)  # not all types can be converted
    except RuntimeError:
        return False
    return x.layout is torch.strided


def _require_finite(weights: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """A neuron never fires for NaN, so a network with such weights would give results without an error."""
    faults = [f'{name} ({fault})' for name, x in weights.items() if (fault := _not_finite(x))]
    if faults:
        raise CheckpointError(
            f'checkpoint {path} has NaN or infinity in {len(faults)} of its {len(weights)} tensors: {_listed(faults)}. '
            'The training diverged or the file is damaged; use an earlier checkpoint'
        )


def _not_finite(x: torch.Tensor) -> str | None:
    """How many elements of a tensor are NaN or infinite, or None."""
    if x.is_complex():
        x = torch.view_as_real(x)
    if not x.numel() or not x.is_floating_point() or x.is_meta:
        return None
    # a dimension of stride 0 repeats its data, perhaps more often than there is time for
    x = x.detach()[tuple(slice(1) if step == 0 else slice(None) for step in x.stride())]
    x = x.float() if x.element_size() == 1 else x
    # one pass without a copy: both are NaN if any element is
    if torch.stack(torch.aminmax(x)).isfinite().all():
        return None
    return f'{x.numel() - int(x.isfinite().sum())} of {x.numel()}'


def _listed(names: list[str]) -> str:
    return ', '.join(printable(name)[:200] for name in names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')


def load_into(
    model: nn.Module,
    weights: Mapping[str, torch.Tensor],
    path: str | Path,
    *,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> None:
    """Loads weights into a network that they fit, or leaves it as it was.

    Args:
        model: network.
        weights: {name: tensor}, as `weights_of` gives them.
        path: where they came from, for messages.
        allow_missing: patterns, such as 'decode_head.*', of names that `weights` may lack.
        allow_unexpected: patterns of names that it may have in excess.

    Raises:
        CheckpointError: the weights do not fit, see `require_match`.
    """
    fitting = require_match(model, weights, path, allow_missing=allow_missing, allow_unexpected=allow_unexpected)
    model.load_state_dict(fitting, strict=False)


def require_match(
    model: nn.Module,
    weights: Mapping[str, Any],
    path: str | Path,
    meta: Any = None,
    *,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> dict[str, Any]:
    """Checks that weights fit a network in names, shapes and kinds of numbers; arguments as for `load_into`.

    Args:
        meta: what MMEngine stores under 'meta', from which a message names the network of the file.

    Returns:
        The weights under the network's own names, which differ from plain ones if a part of it is compiled.

    Raises:
        CheckpointError: names are missing or in excess, shapes differ, or a tensor of floating-point numbers here has
            other numbers in the file; the message lists them.
    """
    state = model.state_dict()
    own_names, widths = dict(zip(_plain_names(state), state)), width_names(model)
    # what a policy stores in a neuron comes and goes with the policy
    own = {plain: state[name] for plain, name in own_names.items() if not _is_of_policy(plain)}
    given = {name: x for name, x in weights.items() if not _is_of_policy(name)}
    faults = {
        'missing in the file': [k for k in own if k not in given and not _matches(k, allow_missing)],
        'unknown to the network': [k for k in given if k not in own and not _matches(k, allow_unexpected)],
        'of another shape': [
            f'{k} {_shape(given[k])} here {_shape(x)}'
            for k, x in own.items()
            if k in given
            and _shape(given[k]) != _shape(x)
            and not (own_names[k] in widths and len(_shape(given[k])) == 1)
        ],
        'of other numbers': [
            f'{k} {given[k].dtype} here {x.dtype}'
            for k, x in own.items()
            if isinstance(given.get(k), torch.Tensor) and x.is_floating_point() and not given[k].is_floating_point()
        ],
    }
    if any(faults.values()):
        named = network_named_in(meta)
        raise CheckpointError(
            f'checkpoint {path} does not fit this {type(model).__name__} of {len(own)} tensors:\n    '
            + '\n    '.join(f'{len(names)} {fault}: {_listed(names)}' for fault, names in faults.items() if names)
            + (f'\nThe file holds {named}. ' if named else '\n')
            + 'Use the config that the checkpoint was trained with, or another checkpoint'
        )
    return {own_names.get(name, name): x for name, x in weights.items()}


def _is_of_policy(name: str) -> bool:
    return name.rpartition('.')[2].startswith('policy_')


def width_names(model: nn.Module) -> set[str]:
    """The names of the widths of surrogates in a network, which take the length that a checkpoint gives them."""
    modules = model.named_modules()
    return {f'{name}.{key}'.lstrip('.') for name, module in modules for key in getattr(module, 'any_length', ())}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _shape(x: Any) -> tuple | str:
    return tuple(x.shape) if hasattr(x, 'shape') else f'a {type(x).__name__}'
