"""Pretrained weights from an index to a repository of the Hugging Face Hub."""

import os
from pathlib import Path

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.hugging_face import INDEX, WEIGHTS, explain, find_entry, split_address
from a2sg_zoo.hub.index import HF, Entry, cards_path, find, index_text
from a2sg_zoo.hub.pretrained import pretrained_file
from a2sg_zoo.publishing.cards import files_of, log_name

_CARD = 'README.md'


def push(name: str, repository: str, private: bool = False, cards_folder: str | Path | None = None) -> str:
    """Puts published weights into a repository of the Hugging Face Hub, in one commit.

    The repository gets the weight file as it is, an index with its entry, the model card, and the training curves. It
    is created if it does not exist. Weights of the same name are replaced by a new commit, and older commits can still
    be named by their revision.

    `huggingface_hub.PyTorchModelHubMixin` is not used: it stores the weights anew without the description of the
    network, in another file than the one that was evaluated.

    Args:
        name: of the weights in the index.
        repository: 'OWNER/NAME' on the Hub.
        private: whether a new repository is private.
        cards_folder: of the training curves; by default `cards_path()`.

    Returns:
        The address of what was pushed, 'hf:OWNER/NAME@COMMIT', for `a2sg_zoo.get_model`.

    Raises:
        ConfigError: there are no such weights, a file is missing, or the repository holds something else.
        CheckpointError: the weight file is damaged, or the Hub refuses.
    """
    address = HF + repository
    if split_address(address)[1] is not None:
        raise ConfigError(f'{repository} must be OWNER/NAME, without a revision')
    entry = find(name)
    weights = pretrained_file(name)
    texts = _texts(entry, address, cards_folder)
    try:
        from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
    except ImportError as error:
        raise ConfigError(f'the Hugging Face Hub needs {error.name}: pip install "a2sg-zoo[hub]"') from error
    texts[_CARD] = str(ModelCard(texts[_CARD].decode())).encode()
    api = HfApi(endpoint=os.environ.get('HF_ENDPOINT'))
    try:
        _refuse_other_contents(api, address, name)
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(
            repository,
            [CommitOperationAdd(WEIGHTS, weights), *(CommitOperationAdd(file, text) for file, text in texts.items())],
            commit_message=f'{name}: {entry["summary"]}'[:200],
        )
    except ConfigError:
        raise
    except Exception as error:  # its HTTP library raises errors of many kinds
        raise CheckpointError(f'{address} cannot be pushed to: {explain(error)}') from error
    return f'{address}@{commit.oid}'


def _texts(entry: Entry, address: str, cards_folder: str | Path | None) -> dict[str, bytes]:
    """{file name: contents} of everything but the weights."""
    folder = cards_folder or cards_path()
    log = Path(folder or '', log_name(entry))
    if folder is None or not log.is_file():
        raise ConfigError(
            f'{log} is missing, the training curves of {entry.name}; weights are pushed only with them. They lie in '
            'the folder of the model cards, in a checkout or beside the index of A2SG_ZOO_INDEX; --cards names another'
        )
    texts = files_of(entry, address, _CARD)
    texts[INDEX] = index_text({entry.name: {**entry.facts, 'location': WEIGHTS}}, address)
    return {**{file: text.encode() for file, text in texts.items()}, log.name: log.read_bytes()}


def _refuse_other_contents(api, address: str, name: str) -> None:
    """Raises ConfigError if a repository exists that holds other weights or any other files."""
    repository = split_address(address)[0]
    # the Hub itself puts .gitattributes into a new repository
    if not api.repo_exists(repository) or not {*api.list_repo_files(repository)} - {'.gitattributes'}:
        return
    try:
        other = find_entry(address).name
    except CheckpointError as error:
        raise ConfigError(f'{address} is left as it is: {error}') from error
    if other != name:
        raise ConfigError(f'{address} is left as it is: it holds the weights {other}, not {name}')
