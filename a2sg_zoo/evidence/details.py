"""The page `why_it_works_details.md`: every claim with its evidence, the theory, one network, and the measures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from a2sg_zoo.analysis.compare import SHARPNESS, Group, cell_of, notes
from a2sg_zoo.analysis.figures.comparison import group_figures
from a2sg_zoo.analysis.figures.layers import bridge_figure
from a2sg_zoo.analysis.figures.theory import growth_figure, theory_figure
from a2sg_zoo.analysis.figures.training import beta_figure
from a2sg_zoo.analysis.measures.bridge import BridgeRow
from a2sg_zoo.analysis.measures.variation import read_adaptation_log
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence.document import VERDICTS, anchor, write_page
from a2sg_zoo.evidence.figures import Pictures, condition_figure, verdict_figure
from a2sg_zoo.evidence.paper import A2SG, TOPICS
from a2sg_zoo.evidence.prose import DETAILS, EXACT, INTRODUCTIONS
from a2sg_zoo.evidence.theory import BIAS, Row, bridge_rows, layer_theory
from a2sg_zoo.evidence.verdicts import Claim

# {measure: its row in the table of all measures}
_MEASURES = dict(
    accuracy='test accuracy, %',
    train_accuracy='training accuracy, %',
    accuracy_gap='gap of accuracy, points',
    test_loss='test loss',
    train_loss='training loss',
    gap='gap of the loss',
    cv_training='CV over training',
    sgv_training='SGV over training',
    variance_training='variance over training',
    tgc_training='TGC over training',
    cv='CV after training',
    sgv='SGV after training',
    tgc='TGC after training',
    **SHARPNESS,
    fisher_trace='Fisher trace',
    energy_nj='energy of an image, nJ',
    firing_rate='firing rate',
    sops='SOPs',
    macs='MACs',
    ann_nj='energy as an ANN, nJ',
)
# {topic: names of its pictures in a comparison}
_PICTURES = dict(link=['sharpness_error'], flatness=['sharpness', 'fisher_layers'])


class Theory(NamedTuple):
    """What was computed without the trained networks.

    Attributes:
        theorems: from `theory.theorem_tables`.
        growths: from `theory.growth_rows`.
        exact: (title, rows) of measures against references.
    """

    theorems: tuple[list[Row], list[Row]]
    growths: Sequence[Row]
    exact: Sequence[tuple[str, Sequence[Row]]]


def write_details(
    out: str | os.PathLike,
    groups: Mapping[str, Group],
    claims: Sequence[Claim],
    theory: Theory,
    numbers: Mapping[str, Any],
    failed: Mapping[Path, str],
    shown: tuple[str, Mapping[str, Figure]],
) -> str:
    """Write why_it_works_details.md, and its pictures in the folder why_it_works beside it.

    Args:
        out: folder of the page.
        groups: {data set: measured runs}.
        claims: from `paper.evaluate`.
        theory: what was computed without the trained networks.
        numbers: values for the braces in `prose`.
        failed: {folder of a run: why it could not be measured}.
        shown: what the pictures of one network show, and {name: figure}.

    Returns:
        The text.

    Raises:
        ConfigError: a file could not be written, or another program wrote it.
    """
    pictures = Pictures(out)
    parts = [
        "# The paper's claims, one by one",
        DETAILS,
        _count_by_topic(claims),
        pictures.add('verdicts', verdict_figure(claims), 'Verdicts'),
        '## All measures',
        'Mean over the seeds, ± the standard deviation. Accuracy and losses are of all images, the others of a sample.',
        *(part for name, group in groups.items() for part in (f'**{name}**', _all_measures(group))),
    ]
    figures = {name: group_figures(group) for name, group in groups.items()}
    for topic, title in TOPICS.items():
        parts += [f'## {title}', INTRODUCTIONS[topic].format(**numbers)]
        parts.append(_evidence([claim for claim in claims if claim.topic == topic]))
        parts += [
            pictures.add(f'{_stem(name)}_{stem}', of_group[stem], f'{stem}, {name}')
            for name, of_group in figures.items()
            for stem in _PICTURES.get(topic, [])
            if stem in of_group
        ]
        parts += _more(topic, groups, theory, pictures)
    what, pictured = shown
    parts += ['## One network', what]
    parts += [pictures.add(f'one_{stem}', figure, stem) for stem, figure in pictured.items()]
    parts += ['## How exact the measures are', EXACT]
    parts += [text for title, rows in theory.exact for text in (f'**{title}**', table(rows))]
    remarks = notes(list(groups.values()), failed)
    if remarks:
        parts += ['## Undefined and missing', '\n'.join(f'- {line}' for line in remarks)]
    return write_page(parts, Path(out) / 'why_it_works_details.md')


def _stem(name: str) -> str:
    return ''.join(c if c.isalnum() else '_' for c in name.lower()).strip('_')


def _count_by_topic(claims: Sequence[Claim]) -> str:
    rows = []
    for topic, title in TOPICS.items():
        found = [claim.verdict for claim in claims if claim.topic == topic]
        rows.append(
            {
                '': f'[{title}](#{anchor(title)})',
                'claims': len(found),
                **{verdict: found.count(verdict) or '' for verdict in VERDICTS},
            }
        )
    return table(rows)


def _all_measures(group: Group) -> str:
    return table(
        [
            {'measure': head} | {method: str(cell_of(entries, measure)) for method, entries in group.methods.items()}
            for measure, head in _MEASURES.items()
        ]
    )


def _evidence(claims: Sequence[Claim]) -> str:
    rows = [
        {
            'claim': claim.text if i == 0 else '',
            'on': evidence.where,
            'measured': evidence.text,
            'says': evidence.word,
            'verdict': f'**{claim.verdict}**' if i == 0 else '',
        }
        for claim in claims
        for i, evidence in enumerate(claim.evidence)
    ]
    return table(rows)


def _more(topic: str, groups: Mapping[str, Group], theory: Theory, pictures: Pictures) -> list[str]:
    """The tables and pictures of a topic that are not those of a comparison."""
    if topic == 'variation':
        return _widths(groups, pictures)
    if topic == 'bridge':
        return [text for name, group in groups.items() for text in _bridge(name, group, pictures)]
    if topic == 'theorems':
        return _theorems(groups, theory.theorems, pictures)
    if topic == 'growth':
        return _growth(theory.growths, pictures)
    return []


def _widths(groups: Mapping[str, Group], pictures: Pictures) -> list[str]:
    parts = []
    for name, group in groups.items():
        for entry in group.methods.get(A2SG, [])[:1]:
            figure = beta_figure(
                read_adaptation_log(entry.run.path), f'{name}: widths that A2SG chose, seed {entry.run.seed}'
            )
            parts.append(pictures.add(f'{_stem(name)}_beta', figure, f'widths, {name}'))
    return parts


def _bridge(name: str, group: Group, pictures: Pictures) -> list[str]:
    rows = bridge_rows(group)
    constants = [row['relative_c'] for row in rows if row['relative_c']]
    sound = sum(row['measured'] <= row['triangle'] * (1 + 1e-5) for row in rows)
    small = sum(row['cv'] is not None and row['cv'] < 1 for row in rows)
    text = (
        f'{name}: {len(rows)} layers of {len(group.entries)} runs. CV is below 1, where the linear term is the larger '
        f'one, in {small} of them, and undefined, because mu = 0, in {sum(row["cv"] is None for row in rows)}.'
    )
    if constants:
        text += (
            f' The constant c / Lambda that each layer needs runs from {min(constants):.3g} to {max(constants):,.3g}. '
            'The picture uses the largest one of a run for all its layers.'
        )
    text += (
        f' As a check of the code, the triangle inequality, which is true of any numbers, holds in {sound} of '
        f'{len(rows)}.'
    )
    parts = [text]
    for entry in group.methods.get(A2SG, [])[:1]:
        layers = [
            BridgeRow(**{key: value for key, value in row.items() if key != 'bound'})
            for row in entry.sections['bridge']['layers']
        ]
        figure = bridge_figure(layers, f'{name}: {A2SG}, seed {entry.run.seed}')
        parts.append(pictures.add(f'{_stem(name)}_bridge', figure, f'bridge, {name}, {A2SG}'))
    return parts


def _theorems(groups: Mapping[str, Group], theorems: tuple[list[Row], list[Row]], pictures: Pictures) -> list[str]:
    first, second = theorems
    rows = [
        {
            'data': name,
            'layers and steps': count['cases'],
            'kappa > 0': count['above'],
            'median of L kappa / sigma^2': count['median'],
            'condition holds': count['holds'],
            f'of these CV_asy < CV_tri, h = {BIAS:g}': count['smaller'],
            'h = 1': count['smaller_h1'],
            'some beta would meet it': count['possible'],
            f'measured potentials, h = {BIAS:g}': f'{count["measured"]} of {count["measurable"]}',
        }
        for name, count in ((name, layer_theory(group)) for name, group in groups.items())
    ]
    parts = [
        '**Theorem 4.1**',
        table(first),
        '**Theorem 4.2**',
        table(_by_bias(second)),
        '**In the trained networks**',
        table(rows),
    ]
    layers = [
        dict(row, cv_asy={float(h): cv for h, cv in row['cv_asy'].items()})
        for group in groups.values()
        for entry in group.methods.get(A2SG, [])
        for row in entry.sections['variation']['theory']
    ]
    parts.append(pictures.add('theorem_4_2', theory_figure(layers), 'theorem 4.2, rings: layers of A2SG runs'))
    for name, group in groups.items():
        figure = condition_figure(group, name)
        if figure is not None:
            parts.append(pictures.add(f'{_stem(name)}_condition', figure, f'condition, {name}'))
    return parts


def _by_bias(rows: Sequence[Row]) -> list[Row]:
    """Theorem 4.2's random cases, a row for each h: share with CV_asy < CV_sym where the condition holds, and not."""
    found: dict[float, Row] = {}
    for row in rows:
        where = 'holds' if row['condition_holds'] else 'does not hold'
        found.setdefault(row['h'], {'h': row['h']})[f'{row["symmetric"]}, condition {where}'] = row['share']
    return list(found.values())


def _growth(growths: Sequence[Row], pictures: Pictures) -> list[str]:
    shown = {
        f'{row["shape"]}, {row["layers"]} hidden': row['growth']
        for row in growths
        if row['growth'] and row['layers'] == 2
    }
    return [pictures.add('growth', growth_figure(shown), 'growth, 2 hidden layers')] if shown else []
