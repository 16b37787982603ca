"""What MMEngine loads checkpoints with, in place of its own loaders: those fall back to running pickled code."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmengine.runner import CheckpointLoader

from a2sg_zoo.compat import checkpoint_schemes
from a2sg_zoo.errors import CheckpointError, DataError
from a2sg_zoo.hub.checkpoint import WEIGHT_KEYS, is_nest, read_checkpoint, weights_of
from a2sg_zoo.hub.index import ADDRESSES


class Checkpoint(dict):
    """The contents of a file together with its path, for messages; pickled as an ordinary dictionary."""

    def __init__(self, contents: Mapping, path: str | Path) -> None:
        super().__init__(contents)
        self.path = path

    def __reduce__(self) -> tuple:
        return OrderedDict, (list(self.items()),)


# contents of files that were read for what they say about themselves, until MMEngine loads them
_read_ahead: dict[str, Any] = {}


@contextmanager
def read_ahead(path: str | Path) -> Iterator[Any]:
    """Reads a checkpoint before MMEngine does, and gives MMEngine the same contents, so that a file is read once.

    Within the context, the first load of this path takes what was read here.

    Args:
        path: as for `read_checkpoint`.

    Returns:
        Its contents.

    Raises:
        CheckpointError: see `read_checkpoint`.
    """
    _read_ahead[str(path)] = contents = read_checkpoint(path)
    try:
        yield contents
    finally:
        _read_ahead.pop(str(path), None)


def _load_from_local(path: str, map_location: Any = None) -> Checkpoint:
    contents = _read_ahead.pop(path) if path in _read_ahead else read_checkpoint(path, map_location)
    return _in_layout_of_mmengine(contents, path)


def _in_layout_of_mmengine(contents: Any, path: str) -> Checkpoint:
    """The same checkpoint with its weights under 'state_dict', where MMEngine looks for them."""
    weights = weights_of(contents, path)
    nested = any(is_nest(contents.get(key)) for key in WEIGHT_KEYS)
    if nested and isinstance(contents.get('meta'), dict):
        # MMEngine executes this text when it resumes; only files from before MMEngine have it
        contents['meta'].pop('config', None)
    return Checkpoint({**(contents if nested else {}), 'state_dict': OrderedDict(weights)}, path)


def _load_from_http(url: str, map_location: Any = None) -> Checkpoint:
    path, contents = fetch(url, map_location)
    return _in_layout_of_mmengine(contents, str(path))


def fetch(url: str, map_location: Any = None) -> tuple[Path, Any]:
    """Downloads a checkpoint into `checkpoints` in `home_folder()`, unless it is there.

    A file in the cache that cannot be read is requested again.

    Args:
        url: http: or https:.
        map_location: see `torch.load`.

    Returns:
        (path of the file, its contents).

    Raises:
        CheckpointError: it cannot be fetched or read. The message shows the address without its query.
    """
    from a2sg_zoo.hub import web
    from a2sg_zoo.hub.download import download
    from a2sg_zoo.hub.pretrained import home_folder, offline

    shown = web.shown(url)
    try:
        name = urlsplit(url).path.rpartition('/')[2]
        source = web.split_credentials(url)[0]
    except ValueError:
        name = ''
    if not name.strip('.'):
        raise CheckpointError(f'checkpoint {shown} names no file; give the address of the file itself')
    # files of the same name from two places are two files
    path = home_folder() / 'checkpoints' / hashlib.sha256(source.encode()).hexdigest()[:12] / name
    try:
        if path.is_file():
            try:
                return path, read_checkpoint(path, map_location)  # without a lock file: the cache may be read-only
            except CheckpointError:
                if offline():
                    raise
                path.unlink(missing_ok=True)
        elif offline():
            raise CheckpointError(
                f'checkpoint {shown}: not in the cache ({path} is missing), and A2SG_ZOO_OFFLINE forbids downloads; '
                'unset it, or copy the file there yourself'
            )
        download(url, path)
        try:
            return path, read_checkpoint(path, map_location)
        except CheckpointError as error:
            path.unlink(missing_ok=True)
            raise CheckpointError(f'{error}. The download from {shown} was deleted') from error
    except DataError as error:
        raise CheckpointError(f'checkpoint {error}') from error
    except OSError as error:
        raise CheckpointError(
            f'checkpoint {shown}: {path} cannot be reached: {error.strerror or error}; set A2SG_HOME to a folder that '
            'you may write'
        ) from error


def _load_from_elsewhere(path: str, map_location: Any = None) -> Checkpoint:
    raise CheckpointError(
        f'checkpoint {path}: this kind of address is not supported; give a file, an http(s):// URL, zoo:NAME, or '
        'hf:OWNER/NAME'
    )


def register_loaders() -> None:
    """Puts `read_checkpoint` in place of every loader of MMEngine: those fall back to running pickled code."""
    for prefix in checkpoint_schemes():
        CheckpointLoader.register_scheme(prefix, _load_from_elsewhere, force=True)
    CheckpointLoader.register_scheme('', _load_from_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], _load_from_http, force=True)
    CheckpointLoader.register_scheme(list(ADDRESSES), _load_from_local, force=True)


register_loaders()
