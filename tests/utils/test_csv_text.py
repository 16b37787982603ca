"""CSV keeps every number and text, and holds nothing that a spreadsheet would run."""

import csv
import io
import math

from hypothesis import example, given
from hypothesis import strategies as st

from a2sg_zoo.utils.csv_text import csv_text

CELLS = st.one_of(st.none(), st.text(), st.floats(), st.integers())


def parsed(text):
    return list(csv.reader(io.StringIO(text, newline='')))


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
@example([('=HYPERLINK("http://x")', '+1'), ('-2', '@SUM(A1)'), ('\t=1', '\r=1'), (-1.5, -3)])
def test_no_cell_is_a_formula(rows):
    _, *found = parsed(csv_text(['=a', 'b'], rows)) or [None]
    assert len(found) == len(rows)
    for row, cells in zip(rows, found):
        for value, cell in zip(row, cells, strict=True):
            if value is None or isinstance(value, float) and not math.isfinite(value):
                assert cell == ''
            elif isinstance(value, str):
                assert not cell.startswith(('=', '+', '-', '@', '\t', '\r', '\n'))
                assert value.replace('\r\n', '\n').replace('\r', '\n') in (cell, cell[1:])
            else:
                assert type(value)(cell) == value


def test_the_head_is_escaped_too():
    assert parsed(csv_text(['=a'], [])) == [["'=a"]]
