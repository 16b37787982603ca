"""The document `why_it_works.md`: what the paper claims, what was measured, and the verdicts that follow.

Words that depend on a result are chosen by the verdict. All other words say only what was done.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from a2sg_zoo.analysis.compare import Group, notes, tables
from a2sg_zoo.analysis.figures.comparison import group_figures
from a2sg_zoo.analysis.figures.layers import bridge_figure
from a2sg_zoo.analysis.figures.theory import growth_figure, theory_figure
from a2sg_zoo.analysis.figures.training import beta_figure
from a2sg_zoo.analysis.measures.bridge import BridgeRow
from a2sg_zoo.analysis.measures.variation import read_adaptation_log
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence.figures import condition_figure, save_picture, verdict_figure
from a2sg_zoo.evidence.paper import A2SG, FIXED_TRI, TOPICS, chain
from a2sg_zoo.evidence.prose import EXACT, INTRODUCTIONS, LIMITS, REPEAT, RULES, SUMMARY
from a2sg_zoo.evidence.theory import BIAS, Row, bridge_rows, layer_theory
from a2sg_zoo.evidence.verdicts import FAILED, HELD, MIXED, OPEN, PART, Claim
from a2sg_zoo.hub.files import write_output

# {topic: titles of its tables in a comparison}
_TABLES = dict(
    variation=['Local gradients over training'],
    flatness=[
        'Flatness: the empirical Fisher',
        'Flatness: the Hessian and SAM',
        'Flatness with the same surrogate for all: TRI, beta = 1',
        'Flatness without a surrogate',
    ],
    generalisation=['Generalisation'],
    energy=['Energy'],
)
# {topic: names of its pictures in a comparison}
_PICTURES = dict(
    variation=['cv', 'sgv'],
    consistency=['tgc'],
    link=['sharpness_error'],
    flatness=['sharpness', 'landscape', 'fisher_layers'],
)
_VERDICTS = (HELD, PART, MIXED, FAILED, OPEN)


def write_document(
    out: str | os.PathLike,
    groups: Mapping[str, Group],
    claims: Sequence[Claim],
    theorems: tuple[list[Row], list[Row]],
    growths: Sequence[Row],
    command: str,
    facts: Sequence[tuple[str, str]],
    numbers: Mapping[str, Any],
    failed: Mapping[Path, str],
    shown: tuple[str, Mapping[str, Figure]],
    exact: Sequence[tuple[str, Sequence[Row]]],
) -> str:
    """Write why_it_works.md, and its pictures in the folder why_it_works beside it.

    Args:
        out: folder of the document.
        groups: {data set: measured runs}.
        claims: from `paper.evaluate`.
        theorems: from `theory.theorem_tables`.
        growths: from `theory.growth_rows`.
        command: command line that writes the document.
        facts: (name, text) of networks, data and versions.
        numbers: values for the braces in `prose`.
        failed: {folder of a run: why it could not be measured}.
        shown: what the pictures of one network show, and {name: figure}.
        exact: (title, rows) of measures against references.

    Returns:
        The text.

    Raises:
        ConfigError: a file could not be written, or another program wrote it.
    """
    pictures = _Pictures(Path(out))
    parts = [
        '# Does A2SG work for the reasons that the paper gives?',
        finding(claims),
        _count_by_topic(claims),
        pictures.add('verdicts', verdict_figure(claims), 'Verdicts'),
        '## What was measured',
        '\n'.join(f'- {name}: {value}' for name, value in facts),
        RULES,
    ]
    comparisons = {name: (dict(tables(group)), group_figures(group)) for name, group in groups.items()}
    for topic, title in TOPICS.items():
        parts += [f'## {title}', INTRODUCTIONS[topic].format(**numbers)]
        parts.append(_evidence([claim for claim in claims if claim.topic == topic]))
        for name, (found, figures) in comparisons.items():
            for head in _TABLES.get(topic, []):
                if head in found:
                    parts += [f'**{head}, {name}**', table(found[head])]
            for stem in _PICTURES.get(topic, []):
                if stem in figures:
                    parts.append(pictures.add(f'{_stem(name)}_{stem}', figures[stem], f'{stem}, {name}'))
        parts += _more(topic, groups, theorems, growths, pictures)
    what, pictured = shown
    parts += ['## One network', what]
    parts += [pictures.add(f'one_{stem}', figure, stem) for stem, figure in pictured.items()]
    parts += ['## How exact the measures are', EXACT]
    parts += [text for title, rows in exact for text in (f'**{title}**', table(rows))]
    remarks = notes(list(groups.values()), failed)
    if remarks:
        parts += ['## Undefined and missing', '\n'.join(f'- {line}' for line in remarks)]
    parts += ['## Limits', LIMITS.format(**numbers), '## How to repeat this', f'```\n{command}\n```', REPEAT]
    text = '\n\n'.join(part.strip('\n') for part in parts if part) + '\n'
    write_output(text, Path(out) / 'why_it_works.md', 'why_it_works')
    return text


class _Pictures:
    def __init__(self, out: Path) -> None:
        self.out = out

    def add(self, stem: str, figure: Figure, label: str) -> str:
        """Write a picture and return the Markdown that shows it."""
        save_picture(figure, self.out / 'why_it_works' / f'{stem}.png')
        return f'![{label}](why_it_works/{stem}.png)'


def _stem(name: str) -> str:
    return ''.join(c if c.isalnum() else '_' for c in name.lower()).strip('_')


def finding(claims: Sequence[Claim]) -> str:
    """Return the summary: each step of the argument on each data set, and the theory. Verdicts choose every word."""
    rows = [
        {
            'With A2SG in place of the fixed triangle': step,
            **{evidence.where: evidence.word for evidence in claim.evidence},
            'verdict': f'**{claim.verdict}**',
        }
        for step, claim in chain(claims).items()
    ]
    theory = [claim for claim in claims if claim.topic in ('theorems', 'growth', 'bridge', 'link')]
    lines = ''.join(f'- {claim.text}: **{claim.verdict}**\n' for claim in theory if claim.verdict != OPEN)
    undecided = sum(claim.verdict == OPEN for claim in theory)
    counts = [claim.verdict for claim in claims]
    count = ', '.join(f'{counts.count(verdict)} {verdict}' for verdict in _VERDICTS if verdict in counts)
    return (
        f'{SUMMARY}\n{table(rows)}\n'
        'The theory, and whether flat minima have a low test error '
        f'({undecided} more claims are undecided):\n\n{lines}\n'
        f'Of {len(claims)} claims: {count}. The rules are [below](#what-was-measured).'
    )


def _count_by_topic(claims: Sequence[Claim]) -> str:
    rows = []
    for topic, title in TOPICS.items():
        found = [claim.verdict for claim in claims if claim.topic == topic]
        rows.append(
            {
                '': f'[{title}](#{anchor(title)})',
                'claims': len(found),
                **{verdict: found.count(verdict) or '' for verdict in _VERDICTS},
            }
        )
    return table(rows)


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives a heading.

    >>> anchor('Theorems 4.1 and 4.2')
    'theorems-41-and-42'
    """
    return ''.join(c for c in title.lower().replace(' ', '-') if c.isalnum() or c in '-_')


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


def _more(
    topic: str,
    groups: Mapping[str, Group],
    theorems: tuple[list[Row], list[Row]],
    growths: Sequence[Row],
    pictures: _Pictures,
) -> list[str]:
    """The tables and pictures of a topic that are not those of a comparison."""
    if topic == 'variation':
        return _widths(groups, pictures)
    if topic == 'bridge':
        return [text for name, group in groups.items() for text in _bridge(name, group, pictures)]
    if topic == 'theorems':
        return _theorems(groups, theorems, pictures)
    if topic == 'growth':
        return _growth(growths, pictures)
    return []


def _widths(groups: Mapping[str, Group], pictures: _Pictures) -> list[str]:
    parts = []
    for name, group in groups.items():
        for entry in group.methods.get(A2SG, [])[:1]:
            figure = beta_figure(
                read_adaptation_log(entry.run.path), f'{name}: widths that A2SG chose, seed {entry.run.seed}'
            )
            parts.append(pictures.add(f'{_stem(name)}_beta', figure, f'widths, {name}'))
    return parts


def _bridge(name: str, group: Group, pictures: _Pictures) -> list[str]:
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
    for method in (FIXED_TRI, A2SG):
        for entry in group.methods.get(method, [])[:1]:
            layers = [
                BridgeRow(**{key: value for key, value in row.items() if key != 'bound'})
                for row in entry.sections['bridge']['layers']
            ]
            figure = bridge_figure(layers, f'{name}: {method}, seed {entry.run.seed}')
            parts.append(pictures.add(_stem(f'{name}_bridge_{method}'), figure, f'bridge, {name}, {method}'))
    return parts


def _theorems(groups: Mapping[str, Group], theorems: tuple[list[Row], list[Row]], pictures: _Pictures) -> list[str]:
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
        table(second),
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


def _growth(growths: Sequence[Row], pictures: _Pictures) -> list[str]:
    rows = [
        {'shape': row['shape'], 'hidden layers': row['layers'], 'exponent': row['exponent'], 'remark': row['why']}
        for row in growths
    ]
    shown = {
        f'{row["shape"]}, {row["layers"]} hidden': row['growth']
        for row in growths
        if row['growth'] and row['layers'] == 2
    }
    return [table(rows)] + ([pictures.add('growth', growth_figure(shown), 'growth')] if shown else [])
