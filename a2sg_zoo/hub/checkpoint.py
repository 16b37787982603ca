"""Checkpoints that are read without running code from them, and that belong to the network they are loaded into."""

import argparse
import ast
import hashlib
import pickle
import re
from collections import OrderedDict
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import safetensors
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from a2sg_zoo.errors import CheckpointError, DataError
from a2sg_zoo.hub.index import ZOO

_SHOWN = 8
_HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')


def _history_statistic(owner, name):
    """Stands in for `getattr`, through which HistoryBuffers refer to their methods. The real one would hand out any
    attribute of any allowed object, up to `builtins.exec`, for the buffer to call later."""
    if owner is not HistoryBuffer or name not in _HISTORY_STATISTICS:
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def _safe_globals():
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
        # NumPy 2 moved its core; files of either side are read by either
        *(
            (function, f'numpy.{core}.multiarray.{name}')
            for name, function in functions.items()
            for core in ('core', '_core')
        ),
    ]


def read_checkpoint(path, map_location='cpu'):
    """The contents of a checkpoint file; no code in it is run.

    `.safetensors` files hold nothing but tensors. Of other files only tensors, plain containers and the few classes
    that checkpoints of MMEngine and timm contain are read; anything else is refused, never trusted.

    Args:
        path: file, or 'zoo:NAME' for weights of the zoo.
        map_location: where the tensors go; see `torch.load`.

    Raises:
        CheckpointError: the file is missing, damaged, or names something that is not allowed.
    """
    if str(path).startswith(ZOO):
        from a2sg_zoo.hub.pretrained import pretrained_file

        path = pretrained_file(str(path).removeprefix(ZOO))
    path = Path(path).expanduser()
    if not path.is_file():
        what = 'is a folder, not a file' if path.is_dir() else 'does not exist'
        raise CheckpointError(f'checkpoint {path} {what}')
    try:
        if path.suffix == '.safetensors':
            return safetensors.torch.load_file(path, device=str(map_location or 'cpu'))
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(
            r'GLOBAL (.+?) (?:was not|whose)|GLOBAL (getattr\(.*\))|unrecognized (function .*)', str(error)
        )
        if named:
            raise CheckpointError(
                f'checkpoint {path} is refused: it names {next(filter(None, named.groups()))}, which is not among what '
                'checkpoints need; unpickled, it could run code. Nothing of it was run. If you trust its source, '
                'convert the weights to .safetensors where they came from'
            ) from error
        raise CheckpointError(_damaged(path, error)) from error
    except torch.OutOfMemoryError:
        raise
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        AssertionError,
        MemoryError,
        safetensors.SafetensorError,
    ) as error:
        raise CheckpointError(_damaged(path, error)) from error


def _damaged(path, error):
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return (
        f'checkpoint {path} cannot be read: it is no checkpoint, is damaged, or was cut short '
        f'({path.stat().st_size} bytes; {reason}). Fetch it again, or use another one'
    )


def weights_of(checkpoint, path):
    """{name: tensor} of a checkpoint's contents in any of the usual layouts: bare, under 'state_dict' (MMEngine, timm)
    or 'model' (MAE), with or without the prefix of a parallel wrapper.

    Raises:
        CheckpointError: there are none.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    weights = (
        {name.removeprefix('module.'): x for name, x in checkpoint.items() if isinstance(x, torch.Tensor)}
        if isinstance(checkpoint, dict)
        else {}
    )
    if not weights:
        raise CheckpointError(f"checkpoint {path} holds no weights: no tensors, and no 'state_dict' or 'model' of them")
    return weights


class Checkpoint(dict):
    """The contents of a file together with its path, for messages; pickled as an ordinary dictionary."""

    def __init__(self, contents, path):
        super().__init__(contents)
        self.path = path
        self._metadata = getattr(contents, '_metadata', OrderedDict())

    def __reduce__(self):
        return OrderedDict, (list(self.items()),)


def _load_from_local(path, map_location=None):
    contents = read_checkpoint(path, map_location)
    if not isinstance(contents, dict):
        raise CheckpointError(f'checkpoint {path} holds a {type(contents).__name__}, not a dictionary of tensors')
    if isinstance(contents.get('meta'), dict):
        # MMEngine executes this text when it resumes; only files from before MMEngine have it
        contents['meta'].pop('config', None)
    return Checkpoint(contents, path)


def _load_from_http(url, map_location=None):
    from a2sg_zoo.hub.download import download
    from a2sg_zoo.hub.pretrained import home_folder, offline

    try:
        name = urlsplit(url).path.rpartition('/')[2]
    except ValueError:
        name = ''
    if not name.strip('.'):
        raise CheckpointError(f'checkpoint {url} names no file; give the address of the file itself')
    # files of the same name from two places are two files
    path = home_folder() / 'checkpoints' / hashlib.sha256(url.encode()).hexdigest()[:12] / name
    try:
        if not path.is_file() and offline():
            raise CheckpointError(
                f'checkpoint {url}: not in the cache ({path} is missing), and A2SG_ZOO_OFFLINE '
                'forbids to download; unset it, or bring the file there yourself'
            )
        download(url, path)
    except DataError as error:
        raise CheckpointError(f'checkpoint {error}') from error
    except OSError as error:
        raise CheckpointError(
            f'checkpoint {url}: {path} cannot be reached: {error.strerror or error}; set A2SG_HOME to a folder of yours'
        ) from error
    return _load_from_local(path, map_location)


def _load_from_elsewhere(path, map_location=None):
    raise CheckpointError(
        f'checkpoint {path}: this kind of address is not supported; give a file, an http(s):// URL, or zoo:NAME'
    )


def register_loaders():
    """Puts `read_checkpoint` in place of every loader of MMEngine, whose own fall back to running pickled code."""
    for prefix in list(CheckpointLoader._schemes):
        CheckpointLoader.register_scheme(prefix, _load_from_elsewhere, force=True)
    CheckpointLoader.register_scheme('', _load_from_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], _load_from_http, force=True)
    CheckpointLoader.register_scheme(ZOO, _load_from_local, force=True)


register_loaders()


def load_into(model, state_dict, path, *, allow_missing=(), allow_unexpected=()):
    """Loads weights into a network that they fit, or leaves it as it was.

    Args:
        model: module.
        state_dict: {name: tensor}.
        path: where it came from, for messages.
        allow_missing: patterns, such as 'decode_head.*', of names that `state_dict` may lack.
        allow_unexpected: patterns of names that it may have in excess.

    Raises:
        CheckpointError: names are missing or in excess, or shapes differ.
    """
    require_match(model, state_dict, path, allow_missing=allow_missing, allow_unexpected=allow_unexpected)
    model.load_state_dict(state_dict, strict=False)


def require_match(model, state_dict, path, meta=None, *, allow_missing=(), allow_unexpected=()):
    """Raises CheckpointError unless `state_dict` fits `model` in names and shapes; see `load_into`."""
    # what a policy keeps with a neuron comes and goes with the policy
    own, state_dict = (
        {k: v for k, v in names.items() if not k.rpartition('.')[2].startswith('policy_')}
        for names in (model.state_dict(), state_dict)
    )
    missing = [k for k in own if k not in state_dict and not _matches(k, allow_missing)]
    unexpected = [k for k in state_dict if k not in own and not _matches(k, allow_unexpected)]
    # a neuron's surrogate window takes the length that the checkpoint gives it
    reshaped = [
        f'{k} {_shape(state_dict[k])} here {_shape(own[k])}'
        for k in own
        if k in state_dict
        and _shape(state_dict[k]) != _shape(own[k])
        and not (k.rpartition('.')[2] == 'beta' and len(_shape(state_dict[k])) == 1)
    ]
    if not (missing or unexpected or reshaped):
        return
    lines = [
        f'{len(names)} {what}: {", ".join(names[:_SHOWN])}' + (', ...' if len(names) > _SHOWN else '')
        for what, names in (
            ('missing in the file', missing),
            ('unknown to the network', unexpected),
            ('of another shape', reshaped),
        )
        if names
    ]
    network = _network_of(meta)
    raise CheckpointError(
        f'checkpoint {path} does not fit this {type(model).__name__} of {len(own)} tensors:\n    '
        + '\n    '.join(lines)
        + (f'\nThe file holds {network}. ' if network else '\n')
        + 'Use the config that the checkpoint was trained with, or another checkpoint'
    )


def _matches(name, patterns):
    return any(fnmatch(name, pattern) for pattern in patterns)


def _shape(value):
    return tuple(value.shape) if hasattr(value, 'shape') else f'a {type(value).__name__}'


def _network_of(meta):
    """Which network MMEngine's `meta` tells of; its config is parsed, not run."""
    try:
        tree = ast.parse(meta['cfg'])
    except (KeyError, TypeError, SyntaxError, ValueError):
        return None
    model = next(
        (
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and getattr(node.targets[0], 'id', None) == 'model'
            and isinstance(node.value, ast.Call)
        ),
        None,
    )
    fields = {keyword.arg: keyword.value for keyword in model.keywords} if model else {}
    types = {
        part: keyword.value.value
        for part in ('backbone', 'neck', 'decode_head')
        for keyword in getattr(fields.get(part), 'keywords', [])
        if keyword.arg == 'type' and isinstance(keyword.value, ast.Constant)
    }
    whole = fields.get('type')
    return (
        ', '.join(
            filter(
                None,
                [
                    f'a network of type {whole.value}' if isinstance(whole, ast.Constant) else None,
                    *(f'{part} {name}' for part, name in types.items()),
                ],
            )
        )
        or None
    )
