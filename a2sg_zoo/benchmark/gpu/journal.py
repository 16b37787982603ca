"""The files of a report: JSON and a Markdown table, written again after every step, whole or not at all."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import a2sg_zoo
from a2sg_zoo.hub.files import check_output, check_output_folder, write_output
from a2sg_zoo.utils.markdown import markdown_table

TOOL = 'gpu_report'


def device_facts(device: torch.device) -> dict[str, Any]:
    """Return what a report says of the machine: the card, its memory in GiB, and versions.

    Args:
        device: device of the measurements.
    """
    facts: dict[str, Any] = dict(device=f'{platform.machine()}, {os.cpu_count()} CPU cores')
    if device.type == 'cuda':
        card = torch.cuda.get_device_properties(device)
        facts = dict(
            device=card.name, memory_GiB=round(card.total_memory / 2**30, 1), capability=f'{card.major}.{card.minor}'
        )
    facts |= dict(a2sg_zoo=a2sg_zoo.__version__, torch=torch.__version__, cuda=torch.version.cuda)
    return facts | dict(python=platform.python_version(), started=datetime.now(UTC).isoformat('T', 'seconds'))


class Journal:
    """Rows of a report that are on the disk as soon as they are known.

    Args:
        folder: gets the files NAME.json and NAME.md; it is made if it is missing.
        name: name of the files.
        title: heading of the Markdown file.
        facts: see `device_facts`.
        heads: titles of the columns of the table.
        cells: function from a row to its cells.

    Attributes:
        rows: the rows, in their order; `write` puts changes on the disk.

    Raises:
        ConfigError: the folder cannot be written, or one of the files is somebody else's.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        name: str,
        title: str,
        facts: dict[str, Any],
        heads: Sequence[str],
        cells: Callable[[dict[str, Any]], Sequence[object]],
    ) -> None:
        folder = check_output_folder(folder, TOOL)
        self.json, self.markdown = (check_output(folder / f'{name}{suffix}', TOOL) for suffix in ('.json', '.md'))
        self.facts, self.rows = facts, list[dict[str, Any]]()
        self._title, self._heads, self._cells = title, heads, cells

    def text(self) -> str:
        """Return the report as Markdown."""
        table = markdown_table(self._heads, map(self._cells, self.rows))
        facts = markdown_table(['', ''], self.facts.items())
        more = [row['markdown'] for row in self.rows if row.get('markdown')]
        return '\n\n'.join([f'# {self._title}', table, *more, '## Facts', facts]) + '\n'

    def write(self) -> None:
        """Write both files, each under a temporary name that is then renamed."""
        rows = [{key: value for key, value in row.items() if key != 'markdown'} for row in self.rows]
        write_output(dict(facts=self.facts, rows=rows), self.json, TOOL)
        write_output(self.text(), self.markdown, TOOL)

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.json.parent
