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
    for section in sections:
        rows = [[_cell(row[key], form) for key, form in section.columns.items()] for row in section.rows]
        parts += [f'## {section.title}', section.text, markdown_table(list(section.columns), rows)]
    return '\n\n'.join([*parts, '## Facts', markdown_table(['', ''], facts.items())]) + '\n'


def as_data(sections: Sequence[Section], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as JSON data."""
    return dict(facts=dict(facts), sections={section.title: section.rows for section in sections})


def _cell(value, form):
    return '' if value is None else format(value, form)
