"""Makes reStructuredText of the docstrings, which are written as plain text.

Docstrings have equations as indented blocks, names in single backticks, and characters such as | and * that
reStructuredText reads as markup. This extension marks the blocks as literal and escapes the characters.
"""

import re
from typing import Any

_SECTION = re.compile(r'(Args|Arguments|Returns|Raises|Attributes|Yields|Source|Example|Examples|Note|Notes):(\s|$)')


def convert(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText.

    An indented block after an empty line becomes a literal block, unless it belongs to a section such as `Args:`.
    Everywhere else the characters |, * and a final _ of a word are escaped.
    """
    lines, result = _with_bullets(_with_whole_names(lines)), []
    in_section, block, example, span = False, False, False, False
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            example = span = False
            result.append(line)
            continue
        if indent == 0:
            in_section, block = bool(_SECTION.match(line)), False
        example = example or line.lstrip().startswith('>>>')
        after_gap = k > 0 and not lines[k - 1].strip()
        if after_gap and indent >= 4 and not (block or in_section or example):
            block = True
            result += ['::', '']
        if not (block or example or re.match(r'\s*(\.\. |:\w+)', line)):
            line, span = _escape(line, span)
        result.append(line)
    return result


def _with_whole_names(lines: list[str]) -> list[str]:
    """The lines, with a list of arguments that goes over two lines, `a, b,` and `c: text`, on one."""
    result: list[str] = []
    for line in lines:
        if result and re.fullmatch(r'    \w[\w, ]*,', result[-1]) and line.startswith(' ' * 8):
            result[-1] += ' ' + line.strip()
        else:
            result.append(line)
    return result


def _with_bullets(lines: list[str]) -> list[str]:
    """The lines, with the indented list `name: text` of a section `Returns:` as a list of bullets."""
    result: list[str] = []
    inside, bullets = False, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside, bullets = line.startswith('Returns:'), False
        if inside and indent == 8 and re.match(r'\s+\w[\w, ]*: ', line):
            result += [] if bullets else ['']
            bullets = True
            line = ' ' * 8 + '- ' + line.lstrip()
        elif bullets and indent > 8:
            line = ' ' * 10 + line.lstrip()
        result.append(line)
    return result


def _escape(line: str, span: bool) -> tuple[str, bool]:
    """Escapes a line outside its backticks; span: whether the line begins, and ends, between two of them."""
    parts = line.split('`')
    for k in range(int(span), len(parts), 2):
        # a letter after a name in backticks: `Layer`s
        parts[k] = re.sub(r'^(?=\w)', r'\\ ', parts[k]) if k else parts[k]
        parts[k] = re.sub(r'(?<=\w)_(?=\W|$)', r'\\_', re.sub(r'([|*])', r'\\\1', parts[k]))
    return '`'.join(parts), span ^ (len(parts) % 2 == 0)


def _on_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = convert(lines)


def setup(app: Any) -> dict[str, Any]:
    """Register the extension before napoleon reads the sections."""
    app.connect('autodoc-process-docstring', _on_docstring, priority=100)
    return dict(parallel_read_safe=True)
