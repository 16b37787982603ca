"""From a name in the index to a file on this machine, checked every time."""

import os
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from a2sg_zoo.errors import CheckpointError, DataError
from a2sg_zoo.hub.download import download, fault, lock
from a2sg_zoo.hub.index import ZOO, find


def home_folder():
    """Where all that is fetched is kept by default: A2SG_HOME, or else ~/.cache/a2sg_zoo."""
    return Path(os.environ.get('A2SG_HOME') or '~/.cache/a2sg_zoo').expanduser()


def cache_folder():
    """Where fetched weights are kept: A2SG_ZOO_CACHE, or else `weights` in `home_folder()`."""
    return Path(os.environ.get('A2SG_ZOO_CACHE') or home_folder() / 'weights').expanduser()


def offline():
    """Whether A2SG_ZOO_OFFLINE forbids to download."""
    return os.environ.get('A2SG_ZOO_OFFLINE', '0') not in ('', '0')


def pretrained_file(name):
    """The file of the weights of this name: the shipped one, the one in the cache, or a new download into it.

    Size and SHA-256 are compared with the index before the path is handed out. Environment variables: A2SG_ZOO_CACHE
    (folder of the cache), A2SG_ZOO_MIRROR (base URL that has all files under the last parts of their names),
    A2SG_ZOO_OFFLINE=1 (nothing is downloaded).

    Returns:
        Path.

    Raises:
        ConfigError: the index has no such name, or is faulty.
        CheckpointError: the file cannot be had, or is not the one that the index tells of.
    """
    entry = find(name)
    local = entry.shipped
    if urlsplit(entry['location']).scheme == 'file':
        local = Path(url2pathname(urlsplit(entry['location']).path))
    if local is not None:
        return _checked(entry, local)
    # the hash in the name keeps new weights under an old name apart from the old
    path = cache_folder() / f'{entry.name}-{entry["sha256"][:8]}.safetensors'
    expected = dict(checksum=f'sha256:{entry["sha256"]}', size=entry['size'])
    try:
        if path.is_file() and fault(path, **expected) is None:
            return path
        if offline():
            raise CheckpointError(
                f'weights {name}: not in the cache ({path} is missing or damaged), and A2SG_ZOO_OFFLINE forbids to '
                f'download; unset it, or bring {entry["location"]} there yourself'
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(entry, path, expected)
    except DataError as error:
        raise CheckpointError(f'weights {name}: {error}') from error
    except OSError as error:
        raise CheckpointError(
            f'weights {name}: the cache cannot be written: {error.filename or path}: '
            f'{error.strerror or error}; set A2SG_ZOO_CACHE to a folder of yours'
        ) from error
    return path


def locate(model):
    """The file that a user means: a path, 'zoo:NAME', or, where it looks like no path, the name in the zoo alone.

    A file of that name in the working folder comes first; a folder, such as that of a run, does not hide the weights.
    """
    text = str(model)
    path = Path(text).expanduser()
    if text.startswith(ZOO):
        return pretrained_file(text.removeprefix(ZOO))
    if path.is_file() or path.suffix in ('.pth', '.pt', '.safetensors') or len(path.parts) > 1:
        return path
    return pretrained_file(text)


def _checked(entry, path):
    try:
        wrong = fault(path, f'sha256:{entry["sha256"]}', entry['size'])
    except OSError as error:
        raise CheckpointError(
            f'weights {entry.name}: {path} cannot be read: {error.strerror}; '
            'it should be where the index says, so install or mount it anew'
        ) from error
    if wrong:
        raise CheckpointError(
            f'weights {entry.name}: {path} is not the file that {entry.index} tells of: {wrong}. '
            'It was damaged or replaced; install or copy it anew'
        )
    return path


def _download(entry, path, expected):
    mirror = os.environ.get('A2SG_ZOO_MIRROR')
    if mirror:
        # download() looks up the last part of the address there
        download(f'{mirror.rstrip("/")}/{entry.filename}', path, mirror=None, **expected)
    elif urlsplit(entry['location']).scheme == 'hf':
        _download_from_hub(entry, path, expected)
    else:
        download(entry['location'], path, mirror=None, **expected)


def _download_from_hub(entry, path, expected):
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise DataError(
            f'{entry["location"]} is on the Hugging Face Hub, for which huggingface_hub is needed: '
            'pip install "a2sg-zoo[hub]"'
        ) from error
    file, _, revision = urlsplit(entry['location']).path.partition('@')
    owner, repository, *inside = PurePosixPath(file).parts
    # it keeps its unfinished downloads there, to go on from
    folder = path.with_name(f'{path.name}.hub')
    with lock(path):
        if path.is_file() and fault(path, **expected) is None:
            return
        try:
            found = Path(
                hf_hub_download(f'{owner}/{repository}', '/'.join(inside), revision=revision or None, local_dir=folder)
            )
        except Exception as error:  # those of its HTTP library among them
            raise DataError(f'{entry["location"]} cannot be fetched: {type(error).__name__}: {error}') from error
        wrong = fault(found, **expected)
        if wrong is None:
            os.replace(found, path)
        shutil.rmtree(folder, ignore_errors=True)
    if wrong:
        raise DataError(f'{entry["location"]} is not the file it should be: {wrong}. The download was removed')
