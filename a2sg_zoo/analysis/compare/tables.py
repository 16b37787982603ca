"""A comparison as tables, CSV and JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from a2sg_zoo.analysis.compare.groups import Group, cell_of, spearman
from a2sg_zoo.utils.csv_text import csv_text

# {title of a table: (section, {measure: title of its column})}
COLUMNS: dict[str, tuple[str, dict[str, str]]] = {
    'Generalisation': (
        'accuracy',
        dict(
            accuracy='test accuracy, %',
            train_accuracy='training accuracy, %',
            train_loss='training loss',
            test_loss='test loss',
            gap='test - training loss',
        ),
    ),
    'Local gradients over training': (
        'training',
        dict(
            cv_training='CV, mean',
            sgv_training='SGV, mean',
            variance_training='variance, mean',
            tgc_training='TGC, mean',
            cv_end='CV, end',
            sgv_end='SGV, end',
            tgc_end='TGC, end',
        ),
    ),
    'Local gradients after training': ('variation', dict(cv='CV', sgv='SGV', tgc='TGC')),
    'Flatness: the empirical Fisher': ('fisher', dict(fisher='largest eigenvalue', fisher_trace='trace')),
    'Flatness: the Hessian and SAM': (
        'hessian',
        dict(hessian='largest Hessian eigenvalue', hessian_trace='its trace', sam='SAM sharpness'),
    ),
    'Flatness with the same surrogate for all: TRI, beta = 1': (
        'common',
        dict(fisher_common='largest Fisher eigenvalue', hessian_common='largest Hessian eigenvalue'),
    ),
    'Flatness without a surrogate': ('landscape', dict(rise='rise of the loss')),
    'Energy': (
        'energy',
        dict(
            energy_nj='energy of an image, nJ',
            firing_rate='firing rate',
            sparsity='sparsity',
            sops='SOPs',
            macs='MACs',
            ann_nj='as an ANN, nJ',
        ),
    ),
}
SHARPNESS = dict(
    fisher='largest Fisher eigenvalue',
    hessian='largest Hessian eigenvalue',
    hessian_trace='Hessian trace',
    sam='SAM sharpness',
    fisher_common='largest Fisher eigenvalue, same surrogate',
    hessian_common='largest Hessian eigenvalue, same surrogate',
    rise='rise of the loss',
)


def tables(group: Group) -> list[tuple[str, list[dict]]]:
    """Return the tables of a group: (title, rows), a row for each method.

    The last table has the rank correlations of the measures of sharpness with the test error.
    """
    result: list[tuple[str, list[dict]]] = []
    for title, (section, columns) in COLUMNS.items():
        if not any(section in entry.sections for entry in group.entries):
            continue
        rows = [
            {
                'method': method,
                'runs': len(entries),
                **{head: str(cell_of(entries, measure)) for measure, head in columns.items()},
            }
            for method, entries in group.methods.items()
        ]
        result.append((title, rows))
    if any('accuracy' in entry.sections for entry in group.entries):
        rows = []
        for measure, head in SHARPNESS.items():
            if any(measure in entry.values for entry in group.entries):
                found = spearman(group, measure)
                rows.append(
                    {'sharpness': head, 'rho': found['rho'], 'p': found['p'], 'n': found['n'], 'remark': found['why']}
                )
        if rows:
            result.append(("Spearman's rank correlation with the test error, over runs", rows))
    return result


def notes(groups: Sequence[Group], failed: Mapping[Path, str]) -> list[str]:
    """Return a sentence for everything that is undefined or could not be measured.

    Args:
        groups: from `compare`.
        failed: from `compare`.
    """
    lines = [f'{path.parent.name}/{path.name}: not measured: {why}' for path, why in failed.items()]
    for group in groups:
        for entry in group.entries:
            lines += [f'{entry.run.name}: {note}' for note in entry.notes]
    return lines


def as_csv(groups: Sequence[Group]) -> str:
    """Return every number of every run as CSV, one number on each line."""
    rows = (
        [
            group.title,
            entry.run.method,
            entry.run.seed,
            entry.run.path,
            measure,
            value,
            entry.undefined.get(measure, ''),
        ]
        for group in groups
        for entry in group.entries
        for measure, value in entry.values.items()
    )
    return csv_text(['group', 'method', 'seed', 'run', 'measure', 'value', 'undefined'], rows)


def as_json(groups: Sequence[Group], failed: Mapping[Path, str]) -> str:
    """Return means, standard deviations and rank correlations as JSON text."""
    data = [
        dict(
            title=group.title,
            methods={
                method: dict(
                    seeds=[entry.run.seed for entry in entries],
                    runs=[str(entry.run.path) for entry in entries],
                    measures={
                        measure: vars(cell_of(entries, measure))
                        for measure in dict.fromkeys(key for entry in entries for key in entry.values)
                    },
                )
                for method, entries in group.methods.items()
            },
            spearman={measure: spearman(group, measure) for measure in SHARPNESS},
        )
        for group in groups
    ]
    everything = dict(groups=data, failed={str(path): why for path, why in failed.items()})
    return json.dumps(everything, indent=1, allow_nan=False) + '\n'
