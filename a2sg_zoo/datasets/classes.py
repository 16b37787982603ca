"""Names of classes: those of weights, of a config and of data sets, and the one comparison between them."""

import logging
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from mmengine.logging import print_log

from a2sg_zoo.errors import ConfigError, printable

_SHOWN = 8


def checked_names(names: Any, where: str) -> list[str]:
    """The names of classes from a config or file, in Unicode's composed form (NFC).

    A file system may store the letters and accents of a folder's name apart; NFC makes such names equal.

    Args:
        names: list or tuple of distinct texts.
        where: what the message calls them, such as 'val_dataloader.dataset.classes'.

    Raises:
        ConfigError: they are something else.
    """
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f'{where} must be a list of names of classes, got {printable(repr(names)[:200])}')
    names = [unicodedata.normalize('NFC', name) for name in names]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(f'{where} has a class twice: {listed(twice)}')
    return names


def require_same_classes(found: Sequence[str], found_in: str, expected: Sequence[str], expected_in: str) -> None:
    """Raises ConfigError unless two lists of names of classes are equal, order included.

    A label is a position in such a list, so with other names, or with the same names in another order, scores would be
    those of other classes.

    Args:
        found: names.
        found_in: where they are from, such as 'the test data'.
        expected: names to which they are compared.
        expected_in: where these are from, such as 'checkpoint a.pth'.
    """
    found, expected = (
        checked_names(list(names), where) for names, where in ((found, found_in), (expected, expected_in))
    )
    if found == expected:
        return
    parts = []
    for here, there, where in ((found, expected, found_in), (expected, found, expected_in)):
        others = set(there)
        alone = [name for name in here if name not in others]
        if alone:
            parts.append(f'only {where} has {listed(alone)}')
    if not parts:
        first = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
        parts.append(
            f'the names are the same in another order: label {first} is {_quoted(found[first])} in {found_in} and '
            f'{_quoted(expected[first])} in {expected_in}'
        )
    raise ConfigError(
        f'the classes of {found_in} ({len(found)}) are not those of {expected_in} ({len(expected)}): {"; ".join(parts)}'
    )


def warn_of_absent_classes(found: Collection[str], expected: Sequence[str], where: str) -> None:
    """Logs the classes of which a data set has no sample.

    Args:
        found: classes that occur.
        expected: all classes.
        where: the data set or its folder.
    """
    absent = [name for name in expected if name not in found]
    if absent:
        print_log(
            f'{where} has no sample of {len(absent)} of {len(expected)} classes: {listed(absent)}; its scores are '
            'those of the other classes',
            'current',
            logging.WARNING,
        )


def classes_of(dataset: Any) -> list[str] | None:
    """The names of the classes of a data set, from its `metainfo`; None where it has none."""
    metainfo = getattr(dataset, 'metainfo', None)
    names = metainfo.get('classes') if hasattr(metainfo, 'get') else None
    return None if names is None else checked_names(list(names), f'{type(dataset).__name__}.metainfo["classes"]')


def listed(names: Sequence[str], limit: int = _SHOWN) -> str:
    """The first few names, quoted and safe for a terminal, and how many there are beside them.

    >>> listed(['cat', 'dog', 'frog'], limit=2)
    "'cat', 'dog' and 1 more"
    """
    text = ', '.join(map(_quoted, names[:limit]))
    return text + (f' and {len(names) - limit} more' if len(names) > limit else '')


def _quoted(name: str) -> str:
    return f"'{printable(name)}'"
