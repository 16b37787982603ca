"""CSV that a spreadsheet can open without running anything in it."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

# A cell that begins with one of these is a formula for Excel or LibreOffice, or is trimmed until it is one.
_FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\n')


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV.

    Numbers keep all their digits. None and numbers that are not finite become empty cells. A text that a spreadsheet
    would run as a formula gets an apostrophe in front, which makes it plain text there.

    Args:
        head: titles of the columns.
        rows: the cells of each row, in the order of the columns.

    >>> print(csv_text(['method', 'top1'], [['=1+1', -2.5], ['tri', None]]), end='')
    method,top1
    '=1+1,-2.5
    tri,
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerows([_cell(value) for value in row] for row in (head, *rows))
    return file.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return ''
    if isinstance(value, (int, float)):
        return value
    # a carriage return would begin a row: csv quotes only the line ends that it writes itself
    text = str(value).replace('\r\n', '\n').replace('\r', '\n')
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
