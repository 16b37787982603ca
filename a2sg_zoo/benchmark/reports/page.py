"""A report as one HTML page that needs nothing else: no network, and no file beside it."""

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from a2sg_zoo.benchmark.reports.figures import figures
from a2sg_zoo.benchmark.reports.report import Report
from a2sg_zoo.benchmark.reports.tables import (
    DASH,
    ENERGY,
    cells,
    comma_separated,
    cost_columns,
    footnotes,
    score_columns,
    sections,
)

_TEMPLATES = Environment(
    loader=PackageLoader('a2sg_zoo.benchmark.reports', ''),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def page(report: Report) -> str:
    """Return the HTML of a report. The template escapes every text; matplotlib escapes those in its SVG."""
    return _TEMPLATES.get_template('page.html.j2').render(
        report=report,
        csv=base64.b64encode(comma_separated(report).encode()).decode(),
        energy=ENERGY,
        missing=DASH,
        cells=cells,
        column_sets=lambda table: [score_columns(table, report.sources), cost_columns(table)],
        footnotes=footnotes,
        sections=sections,
        figures=figures,
    )
