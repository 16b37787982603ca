"""Text from files that reaches a terminal."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from a2sg_zoo.errors import printable

ANYTHING = st.text(st.characters(codec=None, categories=None))


@given(ANYTHING)
def test_what_is_printed_cannot_control_a_terminal(text):
    shown = printable(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert shown.encode() is not None and len(shown.splitlines()) <= 1


@given(st.text(st.characters(codec='utf-8', categories=('L', 'N', 'P', 'S', 'M'))))
def test_ordinary_text_stays(text):
    assert printable(text) == text


def test_lines_stay_where_they_are_meant():
    assert printable('a\nb\x1b[31m', keep='\n') == 'a\nb\\x1b[31m'


def test_errors_and_results_reach_a_console_of_ascii():
    code = """if True:
        from a2sg_zoo.cli.parsing import errors_for_people
        from a2sg_zoo.errors import DataError
        with errors_for_people():
            print('Zürich \u732b')
            raise DataError('file \\udcff\\x1b[2J of \u732b')"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, env={'PYTHONIOENCODING': 'ascii', 'PYTHONPATH': '.'}
    )
    assert done.returncode == 2 and b'\x1b' not in done.stderr
    assert rb'file \udcff\x1b[2J of' in done.stderr and b'Traceback' not in done.stderr
    assert done.stdout.startswith(b'Z') and 'rich' in done.stdout.decode('ascii')
