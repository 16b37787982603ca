"""The comparison of libraries as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a2sg_zoo.benchmark.libraries.measurements import Section
from a2sg_zoo.utils.markdown import markdown_table


def markdown(sections: Sequence[Section], facts: Mapping[str, Any]) -> str:
    """Return the report as Markdown.

    Args:
        sections: what was measured.
        facts: of the measurement: `machine`, `command`, versions and so on.
    """
    parts = ['# One network in four libraries', f'Made on {facts["machine"]} by', f'    {facts["command"]}']
    parts += map(section, sections)
    return '\n\n'.join([*parts, '## Facts', markdown_table(['', ''], facts.items())]) + '\n'


def section(found: Section) -> str:
    """Return one section as Markdown."""
    rows = [[_cell(row[key], form) for key, form in found.columns.items()] for row in found.rows]
    return '\n\n'.join([f'## {found.title}', found.text, markdown_table(list(found.columns), rows)])


def as_data(sections: Sequence[Section], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as JSON data."""
    return dict(facts=dict(facts), sections={section.title: section.rows for section in sections})


def _cell(value, form):
    return '' if value is None else format(value, form)
