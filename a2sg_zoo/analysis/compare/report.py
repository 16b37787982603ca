"""A comparison of runs as files: report.md, runs.csv, summary.json, and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from a2sg_zoo.analysis.compare.groups import LEAST_RUNS, Group
from a2sg_zoo.analysis.compare.tables import as_csv, as_json, notes, tables
from a2sg_zoo.analysis.figures.comparison import group_figures
from a2sg_zoo.analysis.figures.style import save, to_tensorboard
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.hub.files import write_atomically

_INTRODUCTION = f"""Numbers are the mean ± the sample standard deviation over the runs of a method. All runs are
measured on the same samples. CV = Std / Mean(|.|), SGV = Var / Mean(|.|) and TGC = cosine of neighbouring time steps
are those of the local gradients dL/du, averaged over the layers and time steps that have them. SGV has the unit of a
gradient, so a method that scales its surrogate scales SGV; CV and TGC do not change. The Hessian is that of the chain
rule with the surrogate's own derivative. Fisher and Hessian also grow with the surrogate's scale. Therefore one table
uses the same surrogate for all runs, and another shows the rise of the loss at the ends of random directions,
normalised filter by filter, which does not depend on a surrogate. Rank correlations over fewer than {LEAST_RUNS} runs
say little.
"""


def write_comparison(
    groups: Sequence[Group], failed: Mapping[Path, str], out: str | Path, tensorboard: bool = False
) -> str:
    """Write a comparison as report.md, runs.csv, summary.json and figures.

    Args:
        groups: from `compare`.
        failed: from `compare`.
        out: folder of the files.
        tensorboard: whether to write the figures into a TensorBoard event file, too.

    Returns:
        The text of report.md.
    """
    out = Path(out)
    text, figures = f'# Comparison of runs\n\n{_INTRODUCTION}', {}
    for i, group in enumerate(groups):
        prefix = f'{i + 1}_' if len(groups) > 1 else ''
        methods = ', '.join(f'{name} ({_seeds(entries)})' for name, entries in group.methods.items())
        text += f'\n## {group.title}\n\n{len(group.entries)} runs: {methods}.\n'
        for title, rows in tables(group):
            text += f'\n### {title}\n\n{table(rows)}'
        for stem, figure in group_figures(group).items():
            figures[f'{prefix}{stem}'] = figure
            text += f'\n![{stem}]({prefix}{stem}.png)\n'
    remarks = notes(groups, failed)
    if remarks:
        text += '\n## Undefined and missing\n\n' + ''.join(f'- {line}\n' for line in remarks)
    for stem, figure in figures.items():
        save(figure, out / stem)
    if tensorboard:
        to_tensorboard(figures, out)
    write_atomically(as_csv(groups).encode(), out / 'runs.csv')
    write_atomically(as_json(groups, failed).encode(), out / 'summary.json')
    write_atomically(text.encode(), out / 'report.md')
    return text


def _seeds(entries):
    known = sorted(str(entry.run.seed) for entry in entries if entry.run.seed is not None)
    return f'seeds {", ".join(known)}' if known else f'{len(entries)} runs, seeds unknown'
