"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[object], rows: Iterable[Sequence[object]], right: bool = False) -> str:
    r"""Return a table of GitHub's Markdown, without a line end after the last row.

    >>> print(markdown_table(['layer', 'rate'], [['a|b', 0.5]]))
    | layer | rate |
    | --- | --- |
    | a\|b | 0.5 |

    Args:
        heads: titles of the columns.
        rows: cells; each is shown as `str` of it, on one line.
        right: whether all columns after the first are aligned to the right.
    """
    rule = ['---', *(['---:' if right else '---'] * (len(heads) - 1))]
    return '\n'.join([_row(heads), f'| {" | ".join(rule)} |', *(_row(row) for row in rows)])


def escaped(text: object) -> str:
    """Return text that cannot end a cell of a table."""
    return ' '.join(str(text).splitlines()).replace('|', r'\|')


def _row(cells: Sequence[object]) -> str:
    return f'| {" | ".join(map(escaped, cells))} |'
