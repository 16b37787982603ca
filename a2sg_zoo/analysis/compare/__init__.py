"""Runs side by side: the same measures on the same samples, means over seeds, and whether sharpness goes with error.

`compare` measures runs and groups those that can be compared, `write_comparison` (in `report`) writes a report.
"""

from .groups import LEAST_RUNS, Cell, Entry, Group, cell_of, compare, spearman
from .tables import SHARPNESS, as_csv, as_json, notes, tables

__all__ = [
    'LEAST_RUNS',
    'SHARPNESS',
    'Cell',
    'Entry',
    'Group',
    'as_csv',
    'as_json',
    'cell_of',
    'compare',
    'notes',
    'spearman',
    'tables',
]
