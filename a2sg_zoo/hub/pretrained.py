"""Pretrained weights by name: the file on this machine, downloaded if needed, and checked every time."""

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from a2sg_zoo.errors import CheckpointError, DataError
from a2sg_zoo.hub import hugging_face, web
from a2sg_zoo.hub.download import at_mirror, download, fault
from a2sg_zoo.hub.files import expanded
from a2sg_zoo.hub.index import ADDRESSES, HF, ZOO, Entry, find


def home_folder() -> Path:
    """The folder of everything that is downloaded: A2SG_HOME, or ~/.cache/a2sg_zoo."""
    return expanded(os.environ.get('A2SG_HOME') or '~/.cache/a2sg_zoo')


def cache_folder() -> Path:
    """The folder of downloaded weights: A2SG_ZOO_CACHE, or `weights` in `home_folder()`."""
    return expanded(os.environ.get('A2SG_ZOO_CACHE') or home_folder() / 'weights')


def offline() -> bool:
    """Whether A2SG_ZOO_OFFLINE forbids downloads."""
    return os.environ.get('A2SG_ZOO_OFFLINE', '0') not in ('', '0')


def find_entry(name: str) -> Entry:
    """The entry of pretrained weights.

    Args:
        name: in the index, with or without 'zoo:'; or 'hf:OWNER/NAME[@REVISION]', a repository of the Hugging Face Hub.

    Raises:
        ConfigError: there is no such name, or it is no address.
        CheckpointError: the repository cannot be reached, or is not one of a2sg_zoo.

    >>> find_entry('zoo:resnet_small_digits_tri')['task']
    'classification'
    """
    if name.startswith(HF):
        return hugging_face.find_entry(name, offline())
    return find(name.removeprefix(ZOO))


def pretrained_file(name: str) -> Path:
    """The file of the pretrained weights of a name: the shipped one, the one in the cache, or a new download.

    Size and SHA-256 are compared with the index on every call. Environment variables: A2SG_ZOO_CACHE (folder of the
    cache), A2SG_ZOO_MIRROR (base URL that has all files under the last parts of their names), A2SG_ZOO_OFFLINE=1
    (nothing is downloaded). Files of 'hf:OWNER/NAME' are in huggingface_hub's own cache (HF_HOME).

    Args:
        name: of the weights; see `find_entry`.

    Returns:
        Path of a .safetensors file.

    >>> pretrained_file('resnet_small_digits_tri').name
    'resnet_small_digits_tri.safetensors'

    Raises:
        ConfigError: the index has no such name, or is faulty.
        CheckpointError: the file cannot be fetched, or is not the one that the index describes.
    """
    if name.startswith(HF):
        return hugging_face.find_file(name, offline())
    entry = find_entry(name)
    local = entry.shipped
    if urlsplit(entry['location']).scheme == 'file':
        local = Path(url2pathname(urlsplit(entry['location']).path))
    if local is not None:
        return _checked(entry, local)
    # the hash in the name separates new weights from old weights of the same name
    path = cache_folder() / f'{entry.name}-{entry["sha256"][:8]}.safetensors'
    expected = dict(checksum=f'sha256:{entry["sha256"]}', size=entry['size'])
    try:
        if path.is_file() and fault(path, **expected) is None:
            return path
        if offline():
            raise CheckpointError(
                f'weights {name}: not in the cache ({path} is missing or damaged), and A2SG_ZOO_OFFLINE forbids '
                f'downloads; unset it, or copy {web.shown(entry["location"])} there yourself'
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(entry, path, expected)
    except DataError as error:
        raise CheckpointError(f'weights {name}: {error}') from error
    except OSError as error:
        raise CheckpointError(
            f'weights {name}: the cache cannot be written: {error.filename or path}: {error.strerror or error}; set '
            'A2SG_ZOO_CACHE to a folder that you may write'
        ) from error
    return path


def locate(model: str | os.PathLike) -> Path:
    """The weight file that a user means.

    A file of that name in the working folder comes first. A folder, such as that of a run, does not hide the weights.

    Args:
        model: a path, 'zoo:NAME', 'hf:OWNER/NAME', or a name in the zoo alone if it does not look like a path.

    Returns:
        Path, which need not exist if it was given as a path.

    Raises:
        ConfigError, CheckpointError: see `pretrained_file`.
    """
    text = str(model)
    if text.startswith(ADDRESSES):
        return pretrained_file(text)
    path = expanded(text)
    if path.is_file() or path.suffix in ('.pth', '.pt', '.safetensors') or len(path.parts) > 1:
        return path
    return pretrained_file(text)


def _checked(entry: Entry, path: Path) -> Path:
    try:
        wrong = fault(path, f'sha256:{entry["sha256"]}', entry['size'])
    except OSError as error:
        raise CheckpointError(
            f'weights {entry.name}: {path} cannot be read: {error.strerror}; the index says that it is there, so '
            'reinstall or mount it'
        ) from error
    if wrong:
        raise CheckpointError(
            f'weights {entry.name}: {path} is not the file that {entry.index} describes: {wrong}. It was damaged or '
            'replaced; reinstall or copy it again'
        )
    return path


def _download(entry: Entry, path: Path, expected: dict) -> None:
    mirror = os.environ.get('A2SG_ZOO_MIRROR')
    if mirror:
        try:
            address = at_mirror(mirror, entry.filename)
        except ValueError as error:
            raise DataError(f'A2SG_ZOO_MIRROR = {web.shown(mirror)} is no address: {error}') from None
        download(address, path, mirror=None, **expected)
    elif urlsplit(entry['location']).scheme == 'hf':
        hugging_face.download(entry['location'], path, expected)
    else:
        download(entry['location'], path, mirror=None, **expected)
