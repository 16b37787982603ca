"""Pictures in folders that are named after their classes."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.logging import print_log

from a2sg_zoo.datasets.classes import checked_names, listed, warn_of_absent_classes
from a2sg_zoo.datasets.pictures import SUFFIXES, is_picture
from a2sg_zoo.errors import ConfigError, DataError, printable

# what operating systems and file servers put into folders, beside names that begin with a dot
_SYSTEM = {
    '__macosx',
    '@eadir',
    '$recycle.bin',
    'system volume information',
    'lost+found',
    'thumbs.db',
    'desktop.ini',
    'icon\r',
}


class ClassFolders:
    """The picture files of one split of a data set, in folders that are named after their classes:

        split/CLASS/NAME.jpg

    - The suffixes are those of `a2sg_zoo.datasets.pictures.SUFFIXES`, in upper or lower case.
    - Pictures in folders within a class folder belong to that class, at any depth, as in torchvision's `ImageFolder`.
    - Hidden and system folders and files (.ipynb_checkpoints, __MACOSX, ._x.jpg, Thumbs.db) are left out.
    - Files that are left out are counted, and named in one line of the log.

    Args:
        folder: the split.
        classes: names of the classes, in the order of their labels; by default the names of the folders, in
            alphabetical order.
        complete: whether every class must have a folder, as in training. In an evaluation the labels follow from the
            names, so a class may be absent; the log names it.

    Attributes:
        classes: names of the classes.
        samples: (path, label) of each picture, ordered by label and then by path.

    Raises:
        DataError: the split is not there or has no class folders, a folder is none of the classes, a class folder has
            no pictures, or a picture is not a file.
    """

    def __init__(self, folder: str | os.PathLike, classes: Sequence[str] | None = None, complete: bool = True):
        self.folder = Path(folder)
        folders, self._left_out = {}, []
        for entry in _entries(self.folder):
            name = unicodedata.normalize('NFC', entry.name)
            if _is_hidden(name) or not _is(os.DirEntry.is_dir, entry):
                self._left_out.append(entry.path)
            elif folders.setdefault(name, entry.path) != entry.path:
                raise DataError(
                    f'{self.folder.absolute()} has two folders of the same name {listed([name])}; merge them'
                )
        if not folders:
            raise DataError(f'{self.folder.absolute()} has no folders of classes; expected are CLASS/NAME.jpg in it')
        self.classes = sorted(folders) if classes is None else checked_names(classes, 'classes')
        self._require_known(folders, complete)
        self.samples = []
        for label, name in enumerate(self.classes):
            if name in folders:
                pictures = sorted(self._pictures(folders[name], set()))
                if not pictures:
                    raise DataError(
                        f'the class folder {printable(Path(folders[name]).absolute())} has no picture '
                        f'NAME{"|".join(SUFFIXES)}; put pictures there, or remove the folder'
                    )
                self.samples += [(path, label) for path in pictures]
        self._report()

    def _require_known(self, folders: dict[str, str], complete: bool) -> None:
        strange = sorted(set(folders) - set(self.classes))
        absent = [name for name in self.classes if name not in folders]
        if strange or (absent and complete):
            parts = [f'it has folders that are no classes: {listed(strange)}'] if strange else []
            parts += [f'it has no folder for the classes {listed(absent)}'] if absent else []
            raise DataError(
                f'{self.folder.absolute()} does not have the {len(self.classes)} classes {listed(self.classes)}: '
                f'{"; ".join(parts)}. Rename the folders, or give the classes in the order of their labels'
            )
        warn_of_absent_classes(folders, self.classes, str(self.folder))

    def _pictures(self, folder: str, seen: set) -> list[str]:
        """The pictures in a folder and those within; `seen` ends loops of symbolic links."""
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return []
        seen.add((status.st_dev, status.st_ino))
        found = []
        for entry in _entries(folder):
            if _is_hidden(entry.name):
                self._left_out.append(entry.path)
            elif is_picture(entry.name):
                if not _is(os.DirEntry.is_file, entry):
                    kind = 'a folder' if _is(os.DirEntry.is_dir, entry) else 'a broken link'
                    raise DataError(f'picture {entry.path} is {kind}, not a file; remove it, or bring the file back')
                found.append(entry.path)
            elif _is(os.DirEntry.is_dir, entry):
                found += self._pictures(entry.path, seen)
            else:
                self._left_out.append(entry.path)
        return found

    def _report(self) -> None:
        if self._left_out:
            kinds = Counter(
                'hidden' if _is_hidden(Path(path).name) else Path(path).suffix.lower() or 'no suffix'
                for path in self._left_out
            )
            print_log(
                f'left out of {self.folder}: {len(self._left_out)} files and folders that are no pictures of a class ('
                + ', '.join(f'{kind}: {number}' for kind, number in sorted(kinds.items()))
                + f'), such as {listed(sorted(self._left_out)[:3])}; pictures are NAME{"|".join(SUFFIXES)}',
                'current',
                logging.INFO if set(kinds) == {'hidden'} else logging.WARNING,
            )


def classes_of_training(data_root: str | os.PathLike, owner: str) -> list[str]:
    """The classes of a data set in folders: the names of the folders in data_root/train, in alphabetical order.

    Nothing in these folders is read.

    Args:
        data_root: folder of the data set.
        owner: name of its class, for the message.

    Raises:
        ConfigError: there is no folder train.
        DataError: it cannot be read.
    """
    folder = Path(data_root, 'train')
    if not folder.is_dir():
        raise ConfigError(
            f'{owner}: nothing tells the classes: there is no folder {folder.absolute()}, and the weights do not name '
            'them; set classes = [...] of the data set, in the order of the labels'
        )
    return sorted(
        unicodedata.normalize('NFC', entry.name)
        for entry in _entries(folder)
        if _is(os.DirEntry.is_dir, entry) and not _is_hidden(entry.name)
    )


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f'folder {os.path.abspath(folder)} cannot be read: {error.strerror}') from error


def _is(kind: Callable[[os.DirEntry], bool], entry: os.DirEntry) -> bool:
    try:
        return kind(entry)
    except OSError:  # a loop of symbolic links
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith('.') or name.lower() in _SYSTEM
