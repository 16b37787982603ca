"""Docstrings become reStructuredText that Sphinx reads without a warning."""

import importlib.util
from pathlib import Path

import pytest

docutils_core = pytest.importorskip('docutils.core')
EXTENSIONS = Path(__file__).resolve().parents[2] / 'docs' / '_ext'
_spec = importlib.util.spec_from_file_location('docstrings', EXTENSIONS / 'docstrings.py')
docstrings = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(docstrings)


def html(text):
    """The body of a docstring as HTML; a warning of docutils is an error."""
    source = '\n'.join(docstrings.convert(text.strip('\n').splitlines()))
    return docutils_core.publish_parts(
        source, writer='html', settings_overrides=dict(report_level=1, halt_level=2, default_role='literal')
    )['body']


def test_an_equation_is_a_literal_block_and_its_characters_stay():
    body = html('The triangle: |z| <= beta * 2.\n\n    f(z) = max(0, 1 - |z| / beta)\n    g_ = 2 * f\n\nThen text.')
    assert '<pre' in body and 'f(z) = max(0, 1 - |z| / beta)\ng_ = 2 * f' in body
    assert '|z| &lt;= beta * 2.' in body and 'Then text.' in body


def test_names_in_backticks_may_go_over_two_lines_and_have_a_plural():
    body = html('See `Layer`s, `a *\nb` and *args and name_ here.')
    assert 's, ' in body and 'a *' in body and '*args and name_ here' in body


def test_examples_are_left_as_they_are():
    assert '>>> a | b * c' in html('Text.\n\n>>> a | b * c\n12\n').replace('&gt;', '>')


def test_the_list_in_a_section_of_results_becomes_bullets():
    lines = docstrings.convert(
        ['Returns:', '    A dictionary.', '        macs: one.', '        sops, T: two', '            lines.']
    )
    assert lines == [
        'Returns:',
        '    A dictionary.',
        '',
        '        - macs: one.',
        '        - sops, T: two',
        '          lines.',
    ]


def test_names_of_arguments_may_go_over_two_lines():
    assert docstrings.convert(['Args:', '    a, b,', '        c: see `X`.', '    d: text']) == [
        'Args:',
        '    a, b, c: see `X`.',
        '    d: text',
    ]
