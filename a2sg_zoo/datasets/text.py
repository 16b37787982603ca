"""Text as a sequence of bytes: the documentation that comes with Python, or any text file."""

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.datasets.pictures import open_file
from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.errors import ConfigError, DataError, printable
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.checks import integer, number

# number of symbols, and their names
SYMBOLS = 256
SYMBOL_NAMES = tuple(f'0x{byte:02X}' for byte in range(SYMBOLS))
# target of a position that does not count, as torch's cross entropy has it
IGNORED = -100
# bytes of a file: the whole text is in memory
_LARGEST = 1 << 30


def embedded_text() -> str:
    """Return the documentation of the language that comes with Python: the topics of `help()`, in alphabetical order.

    Topics repeat whole sections of each other. Each paragraph is kept once, where it comes first, so a paragraph of the
    validation part is none of the training part. The text differs between versions of Python; that of 3.11 has 373,344
    characters.

    Source: `pydoc_data.topics`, from docs.python.org.
    """
    from pydoc_data.topics import topics

    paragraphs = '\n\n'.join(topics[name].strip() for name in sorted(topics)).split('\n\n')
    return '\n\n'.join(dict.fromkeys(paragraphs))


def encoded(text: str) -> Tensor:
    """Return the symbols of a text: its bytes in UTF-8, int64 (N,).

    >>> encoded('a€').tolist()
    [97, 226, 130, 172]
    """
    return torch.tensor(list(text.encode()), dtype=torch.int64)


def decoded(symbols: Sequence[int]) -> str:
    """Return the text of symbols. Bytes that are no UTF-8 become U+FFFD.

    >>> decoded([97, 226, 130, 172, 226])
    'a€\ufffd'
    """
    return bytes(symbols).decode(errors='replace')


@DATASETS.register_module()
class Text(torch.utils.data.Dataset):
    """Sequences of bytes from a text, each with the byte that follows: dict(inputs=(length,), data_samples=(length,)).

    The last `validation` of the text is for validation, and the rest is for training.

    Training: the text is cut into windows of `length` bytes, and each time an item is drawn, its window begins at a
    random place from 0 to length - 1 bytes later. The item of a `SeededIndex` depends on its position and seed alone.

    Validation: every byte of the validation part but its first is predicted exactly once. Windows overlap by `context`
    bytes. In the first window all predictions count. In each later window those of the first `context` bytes have the
    target -100, which does not count, so every prediction that counts there sees at least `context` bytes before it.

    Args:
        data_root: a text file in UTF-8; by default the embedded text, see `embedded_text`.
        train: take the training part, or else the validation part.
        length: bytes of a sequence, at least 2.
        context: bytes by which windows of the validation part overlap, from 0 to length - 1; by default half of
            `length`.
        validation: share of the text that is for validation, between 0 and 1.

    Attributes:
        symbols: the bytes of the part, int64 (N,).
        metainfo: `classes`, the names of the 256 bytes, and `source`: what the text is, its length, and its SHA-256.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: the file is missing, is not UTF-8, or a part of it is shorter than one sequence and one byte.

    Example:
        >>> from a2sg_zoo.datasets import Text
        >>> data = Text(train=False, length=64)
        >>> item = data[0]
        >>> item['inputs'].shape, bool((item['inputs'][1:] == item['data_samples'][:-1]).all())
        (torch.Size([64]), True)
    """

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        length: int = 128,
        context: int | None = None,
        validation: float = 0.1,
    ) -> None:
        self.data_root, self.train = data_root, train
        self.length = integer('length', length, self, 2)
        self.context = integer('context', length // 2 if context is None else context, self, 0)
        if self.context >= length:
            raise ConfigError(f'Text: context = {context} must be smaller than length = {length}')
        if not 0 < number('validation', validation, self, 0, 1, below_high=True):
            raise ConfigError(f'Text: validation must be above 0, got {validation!r}')
        text = embedded_text().encode() if data_root is None else _read(data_root)
        cut = _start_of_character(text, round(len(text) * (1 - validation)))
        part = text[:cut] if train else text[cut:]
        if len(part) <= length:
            name = 'training' if train else 'validation'
            raise DataError(
                f'Text: the {name} part of {_name(data_root)} has {len(part):,} of {len(text):,} bytes, but '
                f'length = {length} needs at least {length + 1}; take a longer text, or set a smaller length'
            )
        self.symbols = torch.frombuffer(bytearray(part), dtype=torch.uint8).long()
        self.metainfo: dict[str, Any] = dict(classes=SYMBOL_NAMES, source=_source(text, data_root))

    def __len__(self) -> int:
        predicted = len(self.symbols) - 1
        if self.train:
            return predicted // self.length
        return 1 + -(-max(predicted - self.length, 0) // (self.length - self.context))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f'Text has {len(self)} items, there is no item {int(index)}')
        last = len(self.symbols) - 1 - self.length
        if self.train:
            generator = None
            if isinstance(index, SeededIndex):
                generator = torch.Generator().manual_seed(index.seed % 2**63)
            start = min(index * self.length + int(torch.randint(self.length, (), generator=generator)), last)
            return self._window(start)
        start = int(index) * (self.length - self.context)
        # the last window ends with the text, so it overlaps more
        item = self._window(min(start, last))
        known = self.context + max(start - last, 0) if index else 0
        item['data_samples'][:known] = IGNORED
        return item

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """The items of a batch. `CheckedDataset` seeds the generators once for them; once for each would take long."""
        return [self[i] for i in indices]

    def _window(self, start: int) -> dict[str, Tensor]:
        window = self.symbols[start : start + self.length + 1]
        return dict(inputs=window[:-1].clone(), data_samples=window[1:].clone())


def _read(path: str | os.PathLike) -> bytes:
    with open_file(path, 'text file') as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise DataError(f'text file {path} has more than {_LARGEST:,} bytes; cut it to pieces')
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f'text file {path} is not UTF-8: byte {error.start:,} is 0x{text[error.start]:02X}. Convert it, for '
            'example with iconv -f latin1 -t utf-8'
        ) from error
    return text


def _start_of_character(text: bytes, position: int) -> int:
    """The position, or the nearest one before it at which a character of UTF-8 begins."""
    while 0 < position < len(text) and text[position] & 0xC0 == 0x80:
        position -= 1
    return position


def _name(data_root: str | os.PathLike | None) -> str:
    return "Python's documentation" if data_root is None else f'text file {printable(data_root)}'


def _source(text: bytes, data_root: str | os.PathLike | None) -> dict[str, Any]:
    version = {} if data_root is not None else dict(python='.'.join(map(str, sys.version_info[:3])))
    return dict(
        text='pydoc_data.topics' if data_root is None else os.path.basename(data_root),
        **version,
        bytes=len(text),
        characters=len(text.decode()),
        sha256=hashlib.sha256(text).hexdigest(),
    )
