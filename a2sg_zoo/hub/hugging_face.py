"""Weights in repositories of the Hugging Face Hub, fetched by huggingface_hub.

A repository of `a2sg-zoo publish --push` holds `model.safetensors`, `config.json` and a model card. `config.json` is an
index of weights with one entry, whose location is the file beside it, so all that an index says is known of the
repository: network, size, SHA-256, metrics. Both files are data; nothing in a repository is run.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from a2sg_zoo.errors import CheckpointError, ConfigError, DataError, printable
from a2sg_zoo.hub import web
from a2sg_zoo.hub.download import fault, lock
from a2sg_zoo.hub.index import HF, Entry, read_index

WEIGHTS, INDEX = 'model.safetensors', 'config.json'
# bytes of an index with one entry; those of large networks take some tens of kilobytes
_LARGEST_INDEX = 4_000_000
_ADDRESS = re.compile(r'hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?')


def split_address(address: str) -> tuple[str, str | None]:
    """(repository, revision or None) of 'hf:OWNER/NAME[@REVISION]'.

    >>> split_address('hf:me/my_net@v1.0')
    ('me/my_net', 'v1.0')

    Raises:
        ConfigError: the text is no such address.
    """
    found = _ADDRESS.fullmatch(address)
    if not found or '..' in address:
        raise ConfigError(
            f'{printable(address)!r:.200} is no address of weights on the Hugging Face Hub; it must be '
            'hf:OWNER/NAME, or hf:OWNER/NAME@REVISION for a branch, a tag or a commit'
        )
    return found[1], found[2]


def find_entry(address: str, offline: bool = False) -> Entry:
    """What a repository says about its weights.

    Args:
        address: 'hf:OWNER/NAME[@REVISION]'.
        offline: whether only files in the cache may be used.

    Returns:
        The entry of its index. The index lies in the cache, and `entry.shipped` is where the weights go.

    Raises:
        ConfigError: the text is no such address.
        CheckpointError: the repository cannot be reached, or is not one of a2sg_zoo.
    """
    path = _fetch(address, INDEX, _LARGEST_INDEX, offline)
    try:
        entries = list(read_index(path).values())
        if len(entries) != 1 or entries[0]['location'] != WEIGHTS:
            raise ConfigError(f'it must have one entry, with location = {WEIGHTS!r}')
    except ConfigError as error:
        raise CheckpointError(
            f'{address} is not a repository of a2sg_zoo: its {INDEX} describes no weights of a2sg_zoo ({error}). '
            'Repositories of `a2sg-zoo publish --push` do'
        ) from error
    return entries[0]


def find_file(address: str, offline: bool = False) -> Path:
    """The weight file of a repository, from the cache of huggingface_hub or downloaded there.

    Its hash is compared with the one that the Hub gives, and with that in the repository's index, on every call. A
    damaged file in the cache is downloaded once more.

    Args:
        address: 'hf:OWNER/NAME[@REVISION]'.
        offline: whether only files in the cache may be used.

    Returns:
        Path of a .safetensors file.

    Raises:
        ConfigError: the text is no such address.
        CheckpointError: the repository cannot be reached, is not one of a2sg_zoo, or its file is damaged.
    """
    entry = find_entry(address, offline)
    # the commit of the index, so that both files belong together although somebody pushes meanwhile
    address = f'{HF}{split_address(address)[0]}@{entry.index.parent.name}'
    path = _fetch(address, WEIGHTS, entry['size'], offline)
    wrong = fault(path, f'sha256:{entry["sha256"]}', entry['size'])
    if wrong:
        raise CheckpointError(
            f'{address}: {path} is not the file that its {INDEX} describes: {wrong}. Ask its owner to push the weights '
            'again; if only this copy is damaged, remove it'
        )
    return path


def _fetch(address: str, file: str, largest: int, offline: bool) -> Path:
    """A file in the cache of huggingface_hub, downloaded if needed, whose contents have the hash that the Hub gives."""
    repository, revision = split_address(address)
    options = dict(revision=revision, local_files_only=offline)
    try:
        path = Path(_hf_hub_download(repository, file, largest, **options))
        if _is_damaged(path) and not offline:
            path = Path(_hf_hub_download(repository, file, largest, **options, force_download=True))
    except DataError as error:
        raise CheckpointError(f'{address}: {error}') from error
    if _is_damaged(path):
        raise CheckpointError(
            f'{address}: {path} is damaged: its contents do not have the hash that the Hub gives'
            + ('; unset A2SG_ZOO_OFFLINE to download it again' if offline else '. Try again later')
        )
    return path


def _is_damaged(path: Path) -> bool:
    """Whether a file in the cache differs from its ETag, after which the cache names it.

    The ETag of a large file is its SHA-256, that of a small one the hash that git gives it. Other ETags, such as those
    of some mirrors, tell nothing.
    """
    etag = path.resolve().name
    if re.fullmatch('[0-9a-f]{64}', etag):
        return fault(path, f'sha256:{etag}') is not None
    if re.fullmatch('[0-9a-f]{40}', etag):
        data = path.read_bytes()
        return hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest() != etag
    return False


def _hf_hub_download(repository: str, file: str, largest: int | None = None, **options) -> str:
    """huggingface_hub's download, with errors in one line.

    Raises:
        DataError: the file cannot be fetched, or is larger than `largest` bytes.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError('the Hugging Face Hub needs huggingface_hub: pip install "a2sg-zoo[hub]"') from error
    options = dict(repo_id=repository, filename=file, endpoint=os.environ.get('HF_ENDPOINT'), **options)
    try:
        if largest is not None and not options.get('local_files_only'):
            size = huggingface_hub.hf_hub_download(**{**options, 'force_download': False}, dry_run=True).file_size
            if size is not None and size > largest:
                raise DataError(f'{file} has {size:,} bytes there; at most {largest:,} are expected')
        return huggingface_hub.hf_hub_download(**options)
    except DataError:
        raise
    except Exception as error:  # its HTTP library raises errors of many kinds
        raise DataError(explain(error, file)) from error


def explain(error: Exception, file: str = 'the repository') -> str:
    """Why huggingface_hub could not do something, in one line, and what to do.

    Args:
        error: what it raised.
        file: what was asked for.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            'access is restricted; accept the conditions on its page, then log in with `hf auth login` or set HF_TOKEN'
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            'there is no such repository, or it is private; check owner and name, and for a private one log in with '
            '`hf auth login` or set HF_TOKEN'
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return 'it has no such revision; name a branch, a tag or a commit after @'
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__ or error.__context__
        if cause is None or isinstance(cause, errors.OfflineModeIsEnabled):
            return (
                f'{file} is not in the cache, and A2SG_ZOO_OFFLINE or HF_HUB_OFFLINE forbids downloads; unset it, or '
                'fetch the files before with `a2sg-zoo download`'
            )
        return f'{file} is not in the cache, and the Hub cannot be reached ({_first_line(cause)}); check the connection'
    if isinstance(error, errors.EntryNotFoundError):
        return f'it has no {file}; repositories of `a2sg-zoo publish --push` do'
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return (
            f'the Hub answers {error.response.status_code}: your account may not do this; log in with `hf auth login` '
            'or set HF_TOKEN; to push, the token must be one that may write'
        )
    if isinstance(error, errors.HfHubHTTPError):
        return f'the Hub answers {error.response.status_code} ({_first_line(error)})'
    return f'{type(error).__name__}: {_first_line(error)}'


def _first_line(error: BaseException) -> str:
    lines = str(error).split('\n')
    line = next((line.strip() for line in lines if line.strip()), type(error).__name__)
    return printable(web.without_secrets(line))[:200]


def download(location: str, path: Path, expected: dict) -> None:
    """Downloads a single file from any repository.

    Args:
        location: 'hf:OWNER/NAME/FILE[@REVISION]', as in an index.
        path: file to write.
        expected: its `checksum` and `size`; see `a2sg_zoo.hub.download.download`.

    Raises:
        DataError: it cannot be fetched, or is not what is expected.
    """
    file, _, revision = urlsplit(location).path.partition('@')
    owner, repository, *inside = PurePosixPath(file).parts
    # huggingface_hub keeps its unfinished downloads there, to resume them
    folder = path.with_name(f'{path.name}.hub')
    with lock(path):
        if path.is_file() and fault(path, **expected) is None:
            return
        try:
            options = dict(revision=revision or None, local_dir=folder)
            found = Path(_hf_hub_download(f'{owner}/{repository}', '/'.join(inside), expected['size'], **options))
        except DataError as error:
            raise DataError(f'{location} cannot be fetched: {error}') from error
        wrong = fault(found, **expected)
        if wrong is None:
            os.replace(found, path)
        shutil.rmtree(folder, ignore_errors=True)
    if wrong:
        raise DataError(f'{location} is not the expected file: {wrong}. The download was removed')
