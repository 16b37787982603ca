"""The document `why_it_works.md`: what the paper claims, what was measured, and what `claims` makes of it.

Prose that depends on a result is chosen by the verdict; the rest says only what was done.
"""

from pathlib import Path

from a2sg_zoo.analysis.compare import notes, tables
from a2sg_zoo.analysis.figures.comparison import group_figures
from a2sg_zoo.analysis.figures.layers import bridge_figure
from a2sg_zoo.analysis.figures.style import save
from a2sg_zoo.analysis.figures.theory import growth_figure, theory_figure
from a2sg_zoo.analysis.figures.training import beta_figure
from a2sg_zoo.analysis.measures import variation
from a2sg_zoo.analysis.measures.bridge import BridgeRow
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence.figures import condition_figure, verdict_figure
from a2sg_zoo.evidence.paper import A2SG, BIAS, TOPICS, TRI_, bridge_rows, chain, layer_theory
from a2sg_zoo.evidence.prose import AGAIN, EXACT, INTRODUCTIONS, LIMITS, RULES
from a2sg_zoo.evidence.verdicts import FAILED, HELD, MIXED, OPEN, PART
from a2sg_zoo.hub.files import write_atomically

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
_PICTURES = dict(
    variation=['cv', 'sgv'],
    consistency=['tgc'],
    link=['sharpness_error'],
    flatness=['sharpness', 'landscape', 'fisher_layers'],
)
_VERDICTS = (HELD, PART, MIXED, FAILED, OPEN)


def write_document(out, groups, claims, theorems, growths, command, facts, numbers, failed, shown, exact):
    """Writes why_it_works.md and the pictures in why_it_works/ into the folder `out`; returns the text.

    Args:
        groups: {data set: Group}.
        claims: from `why.evaluate`.
        theorems, growths: from `why.theorem_tables`, `why.growth_rows`.
        command: command line that made it.
        facts: [(name, text)]: networks, data, versions.
        numbers: what fills the braces of `why_text`.
        failed: {run's path: why it could not be measured}.
        shown: (what it is, {stem: figure}) of one network.
        exact: [(title, rows)]: measures against references.
    """
    pictures = _Pictures(Path(out))
    text = f'# Why it works, and whether it does\n\n{finding(claims)}\n\n{_verdicts(claims)}\n'
    text += f'![Verdicts]({pictures.add("verdicts", verdict_figure(claims))})\n\n## What was measured\n\n'
    text += ''.join(f'- {name}: {value}\n' for name, value in facts)
    text += f'\n{RULES}'
    own = {name: (dict(tables(group)), group_figures(group)) for name, group in groups.items()}
    for topic, title in TOPICS.items():
        introduction = INTRODUCTIONS[topic].format(**numbers)
        text += f'\n## {title}\n\n{introduction}\n\n{_evidence([c for c in claims if c.topic == topic])}'
        for name, (found, figures) in own.items():
            for head in _TABLES.get(topic, []):
                if head in found:
                    text += f'\n**{head}, {name}**\n\n{table(found[head])}'
            for stem in _PICTURES.get(topic, []):
                if stem in figures:
                    text += f'\n![{stem}, {name}]({pictures.add(f"{_stem(name)}_{stem}", figures[stem])})\n'
        text += _more(topic, groups, theorems, growths, pictures)
    what, figures = shown
    text += f'\n## One network\n\n{what}\n'
    text += ''.join(f'\n![{stem}]({pictures.add(f"one_{stem}", figure)})\n' for stem, figure in figures.items())
    text += f'\n## How exact the measures are\n\n{EXACT}'
    text += ''.join(f'\n**{title}**\n\n{table(rows)}' for title, rows in exact)
    remarks = notes(groups.values(), failed)
    if remarks:
        text += '\n## Undefined and missing\n\n' + ''.join(f'- {line}\n' for line in remarks)
    text += f'\n## Limits\n\n{LIMITS.format(**numbers)}\n## Again\n\n```\n{command}\n```\n\n{AGAIN}'
    write_atomically(text.encode(), Path(out) / 'why_it_works.md')
    return text


class _Pictures:
    def __init__(self, out):
        self.out = out

    def add(self, stem, figure):
        save(figure, self.out / 'why_it_works' / stem, kinds=('png',))
        return f'why_it_works/{stem}.png'


def _stem(name):
    return ''.join(c if c.isalnum() else '_' for c in name.lower()).strip('_')


def finding(claims):
    """The first paragraphs: each link of the chain on each data set, and the theory, every word chosen by a verdict."""
    links = chain(claims)
    rows = [
        {
            'With A2SG in place of the fixed triangle': link,
            **{e.where: e.word for e in claim.evidence},
            'verdict': f'**{claim.verdict}**',
        }
        for link, claim in links.items()
    ]
    theory = [claim for claim in claims if claim.topic in ('theorems', 'growth', 'bridge', 'link')]
    lines = ''.join(f'- {claim.text}: **{claim.verdict}**\n' for claim in theory if claim.verdict != OPEN)
    undecided = sum(claim.verdict == OPEN for claim in theory)
    return f"""The argument of A2SG is a chain: windows chosen for low variation, and an asymmetric shape, make local
gradients vary less; that leads to flatter minima; and these generalise better. Small networks on real images say of it:

{table(rows)}
Of the theory, and of whether flat goes with good ({undecided} more claims are undecided):

{lines}
Of {len(claims)} claims in all: {_count(claims)}. How they are judged stands [below](#what-was-measured)."""


def _count(claims):
    found = [claim.verdict for claim in claims]
    return ', '.join(f'{found.count(verdict)} {verdict}' for verdict in _VERDICTS if verdict in found)


def _verdicts(claims):
    rows = []
    for topic, title in TOPICS.items():
        found = [claim.verdict for claim in claims if claim.topic == topic]
        rows.append(
            {
                '': f'[{title}](#{_anchor(title)})',
                'claims': len(found),
                **{verdict: found.count(verdict) or '' for verdict in _VERDICTS},
            }
        )
    return table(rows)


def _anchor(title):
    """Of a heading, as GitHub makes it."""
    return ''.join(c for c in title.lower().replace(' ', '-') if c.isalnum() or c in '-_')


def _evidence(claims):
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


def _more(topic, groups, theorems, growths, pictures):
    """Tables and pictures that are not those of a comparison."""
    if topic == 'variation':
        return _windows(groups, pictures)
    if topic == 'bridge':
        return ''.join(_bridge(name, group, pictures) for name, group in groups.items())
    if topic == 'theorems':
        first, second = theorems
        text = f'\n**Theorem 4.1**\n\n{table(first)}\n**Theorem 4.2**\n\n{table(second)}'
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
                f'potentials as they are, h = {BIAS:g}': f'{count["measured"]} of {count["measurable"]}',
            }
            for name, count in ((name, layer_theory(group)) for name, group in groups.items())
        ]
        layers = [
            dict(row, cv_asy={float(h): cv for h, cv in row['cv_asy'].items()})
            for group in groups.values()
            for entry in group.methods.get(A2SG, [])
            for row in entry.sections['variation']['theory']
        ]
        text += (
            f'\n**In the trained networks**\n\n{table(rows)}\n![theorem 4.2, rings: layers of A2SG runs]'
            f'({pictures.add("theorem_4_2", theory_figure(layers))})\n'
        )
        return text + ''.join(
            f'\n![condition, {name}]({pictures.add(f"{_stem(name)}_condition", figure)})\n'
            for name, group in groups.items()
            if (figure := condition_figure(group, name))
        )
    if topic == 'growth':
        rows = [
            {'shape': row['shape'], 'hidden layers': row['layers'], 'exponent': row['exponent'], 'remark': row['why']}
            for row in growths
        ]
        text = f'\n{table(rows)}'
        shown = {
            f'{row["shape"]}, {row["layers"]} hidden': row['growth']
            for row in growths
            if row['growth'] and row['layers'] == 2
        }
        return text + (f'\n![growth]({pictures.add("growth", growth_figure(shown))})\n' if shown else '')
    return ''


def _windows(groups, pictures):
    text = ''
    for name, group in groups.items():
        for entry in group.methods.get(A2SG, [])[:1]:
            figure = beta_figure(
                variation.read_adaptation_log(entry.run.path), f'{name}: windows that A2SG chose, seed {entry.run.seed}'
            )
            text += f'\n![windows, {name}]({pictures.add(f"{_stem(name)}_beta", figure)})\n'
    return text


def _bridge(name, group, pictures):
    rows = bridge_rows(group)
    constants = [row['relative_c'] for row in rows if row['relative_c']]
    sound = sum(row['measured'] <= row['triangle'] * (1 + 1e-5) for row in rows)
    text = (
        f'\n{name}: {len(rows)} layers of {len(group.entries)} runs. CV is below 1, where the linear term leads, '
        f'in {sum(row["cv"] is not None and row["cv"] < 1 for row in rows)}, and undefined, as mu = 0, in '
        f'{sum(row["cv"] is None for row in rows)}.'
    )
    if constants:
        text += (
            f' The constant that each needs by itself, c / Lambda, runs from {min(constants):.3g} to '
            f'{max(constants):,.3g}; the picture has the largest of a run for all its layers.'
        )
    text += (
        f' A check of the code, as it is true of any numbers: the triangle inequality holds in {sound} of '
        f'{len(rows)}.\n'
    )
    for method in (TRI_, A2SG):
        for entry in group.methods.get(method, [])[:1]:
            figure = bridge_figure(
                [
                    BridgeRow(**{key: value for key, value in row.items() if key != 'bound'})
                    for row in entry.sections['bridge']['layers']
                ],
                f'{name}: {method}, seed {entry.run.seed}',
            )
            text += f'\n![bridge, {name}, {method}]({pictures.add(_stem(f"{name}_bridge_{method}"), figure)})\n'
    return text
