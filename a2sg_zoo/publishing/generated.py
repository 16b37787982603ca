"""The files that are made from the index of weights: model cards and metafiles, written and checked."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.download import fault
from a2sg_zoo.hub.files import is_leftover, remove_leftovers, write_atomically
from a2sg_zoo.hub.index import SHIPPED, Entry, index_path
from a2sg_zoo.hub.published import load
from a2sg_zoo.publishing.cards import files_of, log_name
from a2sg_zoo.publishing.metafiles import metafiles

MEGABYTES_EACH, MEGABYTES_TOGETHER = 9, 50
# name, hash and ending of the files of one publication
_OF_A_PUBLICATION = re.compile(r'(.+)-[0-9a-f]{8}\.(safetensors|log\.jsonl)')


def checkout() -> Path | None:
    """The checkout that has metafiles: that of the package, if the index in use is the one that it ships."""
    root = SHIPPED.parents[2]
    return root if index_path() == SHIPPED and (root / 'configs').is_dir() else None


def generated_files(entries: Mapping[str, Entry], cards_folder: Path | None, root: Path | None) -> dict[Path, str]:
    """The text of every generated file.

    Args:
        entries: {name: entry} of the index.
        cards_folder: of the cards; None for no cards.
        root: of a checkout that has metafiles; None for no metafiles.

    Returns:
        {path: text}.
    """
    files = {root / path: text for path, text in metafiles(entries).items()} if root else {}
    if cards_folder:
        files |= {cards_folder / name: text for entry in entries.values() for name, text in files_of(entry).items()}
    return files


def update(entries: Mapping[str, Entry], cards_folder: Path | None, root: Path | None) -> list[Path]:
    """Writes the generated files that differ from what the index gives; arguments as for `generated_files`.

    Returns:
        Paths of the files that were written.
    """
    written = []
    for path, text in generated_files(entries, cards_folder, root).items():
        if not path.is_file() or path.read_text(encoding='utf-8', errors='replace') != text:
            write_atomically(text.encode(), path)
            written.append(path)
    return written


def sweep(entries: Mapping[str, Entry], folder: Path) -> None:
    """Removes what killed publications and replaced weights left in a folder.

    Those are temporary files, and files with a hash in their name that belong to a name of the index, while the index
    names others for it.
    """
    remove_leftovers(folder)
    kept = {Path(entry['location']).name for entry in entries.values()} | {log_name(e) for e in entries.values()}
    for path in folder.glob('*'):
        found = _OF_A_PUBLICATION.fullmatch(path.name)
        if found and found[1] in entries and path.name not in kept:
            path.unlink(missing_ok=True)


def check(entries: Mapping[str, Entry], cards_folder: str | Path | None, root: Path | None = None) -> list[str]:
    """Compares cards, metafiles, logs and shipped weights with the index.

    Every generated file is made again and compared. Every shipped weight file is compared with its entry in hash,
    network, number of parameters and time steps. Files at other places are not downloaded. What a killed publication
    left is no problem: the next one removes it.

    Args:
        entries: {name: entry} of the index.
        cards_folder: of the cards; None if they are not there, and so not checked.
        root: of the checkout with the metafiles; None for no metafiles.

    Returns:
        Problems, one sentence each; empty if everything is in order.
    """
    problems = [problem for entry in entries.values() if entry.shipped is not None for problem in _check_weights(entry)]
    sizes = [entry['size'] for entry in entries.values() if entry.shipped is not None]
    if sum(sizes) > MEGABYTES_TOGETHER * 10**6:
        problems.append(f'the shipped weights take {sum(sizes) / 1e6:.1f} MB; at most {MEGABYTES_TOGETHER} are allowed')
    problems += [
        f'{location} is the location of {count} entries'
        for location, count in Counter(entry['location'] for entry in entries.values()).items()
        if count > 1
    ]
    cards_folder = None if cards_folder is None else Path(cards_folder)
    expected = generated_files(entries, cards_folder, root)
    for path, text in expected.items():
        if not path.is_file():
            problems.append(f'{path} is missing')
        elif path.read_text(encoding='utf-8', errors='replace') != text:
            problems.append(f'{path} is not what the index gives; `a2sg-zoo publish --update` makes it again')
    if cards_folder:
        logs = [cards_folder / log_name(entry) for entry in entries.values()]
        problems += [f'{path} is missing' for path in logs if not path.is_file()]
        problems += [
            f'{path} belongs to no entry of the index'
            for path in sorted(cards_folder.glob('*'))
            if path not in expected and path not in logs and not _is_left_by_a_kill(path, entries)
        ]
    return problems


def _is_left_by_a_kill(path: Path, entries: Mapping[str, Entry]) -> bool:
    found = _OF_A_PUBLICATION.fullmatch(path.name)
    return is_leftover(path) or found is not None and found[1] in entries


def _check_weights(entry: Entry) -> list[str]:
    try:
        wrong = fault(entry.shipped, f'sha256:{entry["sha256"]}', entry['size'])
        if wrong:
            return [f'{entry.name}: {entry.shipped} is not the file that {entry.index} describes: {wrong}']
        model, description = load(entry.shipped)
    except OSError as error:
        return [f'{entry.name}: {entry.shipped} cannot be read: {error.strerror}']
    except CheckpointError as error:
        return [str(error)]
    problems = []
    if entry['size'] > MEGABYTES_EACH * 10**6:
        problems.append(f'{entry.name}: {entry.shipped} is larger than {MEGABYTES_EACH} MB')
    for field, value in (
        ('model', description.model),
        ('task', description.task),
        ('T', model.backbone.T),
        ('parameters', sum(p.numel() for p in model.parameters())),
    ):
        if entry[field] != value:
            problems.append(
                f'{entry.name}: the index has {field} = {entry[field]!r:.80}, but its file has {value!r:.80}'
            )
    return problems
