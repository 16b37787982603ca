"""The document `why_it_works.md`: what the paper claims, what was measured, and what `claims` makes of it.

Prose that depends on a result is chosen by the verdict; the rest says only what was done.
"""

from pathlib import Path

from a2sg_zoo.analysis import plots, variation
from a2sg_zoo.analysis.claims import FAILED, HELD, MIXED, OPEN, PART
from a2sg_zoo.analysis.compare import notes, tables
from a2sg_zoo.analysis.compare_plots import group_figures
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.analysis.why import A2SG, BIAS, TOPICS, bridge_rows, excess, layer_theory
from a2sg_zoo.analysis.why_plots import excess_figure, verdict_figure
from a2sg_zoo.analysis.why_text import AGAIN, ENERGY, INTRODUCTIONS, LIMITS, RULES
from a2sg_zoo.files import write_atomically

_TABLES = dict(
    variation=['Local gradients over training'], flatness=[
        'Flatness: the empirical Fisher', 'Flatness: the Hessian and SAM',
        'Flatness with the same surrogate for all: TRI, beta = 1', 'Flatness without a surrogate'],
    generalisation=['Generalisation'])
_PICTURES = dict(variation=['cv', 'sgv'], consistency=['tgc'], link=['sharpness_error'],
                 flatness=['sharpness', 'landscape', 'fisher_layers'])
_VERDICTS = (HELD, PART, MIXED, FAILED, OPEN)

def write_document(out, groups, claims, theorems, growths, command, facts, failed):
    """Writes why_it_works.md and the pictures in why_it_works/ into the folder `out`; returns the text.

    Args:
        groups: {data set: Group}.
        claims: from `why.evaluate`.
        theorems, growths: from `why.theorem_tables`, `why.growth_rows`.
        command: command line that made it.
        facts: [(name, text)]: networks, data, versions.
        failed: {run's path: why it could not be measured}.
    """
    pictures = _Pictures(Path(out))
    text = f'# Why it works, and whether it does\n\n{finding(claims)}\n\n{_verdicts(claims)}\n'
    text += f'![Verdicts]({pictures.add("verdicts", verdict_figure(claims))})\n\n## What was measured\n\n'
    text += ''.join(f'- {name}: {value}\n' for name, value in facts)
    text += f'\n{RULES}'
    own = {name: (dict(tables(group)), group_figures(group)) for name, group in groups.items()}
    for topic, title in TOPICS.items():
        text += f'\n## {title}\n\n{INTRODUCTIONS[topic]}\n\n{_evidence([c for c in claims if c.topic == topic])}'
        for name, (found, figures) in own.items():
            for head in _TABLES.get(topic, []):
                if head in found:
                    text += f'\n**{head}, {name}**\n\n{table(found[head])}'
            for stem in _PICTURES.get(topic, []):
                if stem in figures:
                    text += f'\n![{stem}, {name}]({pictures.add(f"{_stem(name)}_{stem}", figures[stem])})\n'
        text += _more(topic, groups, theorems, growths, pictures)
    text += '\n## Beside the argument: activity and energy\n'
    for name, (found, _) in own.items():
        if 'Energy' in found:
            text += f'\n**{name}**\n\n{table(found["Energy"])}'
    text += f'\n{ENERGY}'
    remarks = notes(groups.values(), failed)
    if remarks:
        text += '\n## Undefined and missing\n\n' + ''.join(f'- {line}\n' for line in remarks)
    text += f'\n## Limits\n\n{LIMITS}\n## Again\n\n```\n{command}\n```\n\n{AGAIN}'
    write_atomically(text.encode(), Path(out) / 'why_it_works.md')
    return text


class _Pictures:

    def __init__(self, out):
        self.out = out

    def add(self, stem, figure):
        plots.save(figure, self.out / 'why_it_works' / stem, kinds=('png',))
        return f'why_it_works/{stem}.png'


def _stem(name):
    return ''.join(c if c.isalnum() else '_' for c in name.lower()).strip('_')


def finding(claims):
    """The first paragraphs: whether the chain holds, and each link; every sentence chosen by a verdict."""
    def of(start):
        return next(claim for claim in claims if claim.text.startswith(start))

    cv, fisher, rise, accuracy = (of(start) for start in (
        'A2SG has a lower CV', 'A2SG ends flatter than fixed TRI: largest Fisher eigenvalue',
        'A2SG ends flatter than fixed TRI: rise', 'A2SG has a higher test accuracy than fixed TRI'))
    links = {'lower variation': [cv], 'flatter minima': [fisher, rise], 'better generalisation': [accuracy]}
    broken = [name for name, found in links.items() if any(claim.verdict != HELD for claim in found)]
    link = [claim for claim in claims if claim.topic == 'link']
    whole = 'each of its links held' if not broken else f'not all of its links held: not on every count {_list(broken)}'
    return f"""The argument of A2SG is a chain: windows chosen for low variation, and an asymmetric shape, make local
gradients vary less; that leads to flatter minima; and these generalise better. On small networks and real images,
against the fixed triangle, {whole}.

- **Variation**: {_phrase(cv, 'A2SG lowers the CV of local gradients')}; {_phrase(of('A2SG has a higher TGC'),
    'it aligns them better over time')}.
- **Flatness**: {_phrase(fisher, "A2SG's largest Fisher eigenvalue, with each method's own surrogate, is smaller")}; {
    _phrase(of('A2SG ends flatter than fixed TRI: largest Fisher eigenvalue, same'),
            'so it is with one surrogate for all')}; {_phrase(rise, 'the loss around it rises less')}.
- **Generalisation**: {_phrase(accuracy, 'A2SG classifies test images better')}. That sharper runs err more, in {
    len(link)} measures of sharpness: {_count(link)}.
- **Theory**: {_phrase(of(f'Theorem 4.2 for h = {BIAS:g}: CV_asy'), f'Theorem 4.2 is true for h = {BIAS:g}')}; {
    _phrase(of('Theorem 4.2 for h = 0.6'), 'it is true for h = 0.6')}; {
    _phrase(of('The Hessian grows at least'), 'the Hessian grows at least as beta^-2')}.

Of {len(claims)} claims in all: {_count(claims)}. How they are judged stands [below](#what-was-measured)."""


def _list(names):
    return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _count(claims):
    found = [claim.verdict for claim in claims]
    return ', '.join(f'{found.count(verdict)} {verdict}' for verdict in _VERDICTS if verdict in found)


def _phrase(claim, subject):
    """`subject`, a clause that says the claim, as the verdict has it."""
    where = {sign: ' and '.join(e.where for e in claim.evidence if e.sign == sign) for sign in (1, 0, -1)}
    return {HELD: f'{subject} (held)',
            PART: f'{subject} on {where[1]} (undecided on {where[0]})',
            MIXED: f'{subject} on {where[1]}, and the opposite is so on {where[-1]} (mixed)',
            FAILED: f'it is **not** so that {subject} (contradicted by {where[-1]}'
                    + (f', undecided on {where[0]})' if where[0] else ')'),
            OPEN: f'whether {subject} is undecided'}[claim.verdict]


def _verdicts(claims):
    rows = []
    for topic, title in TOPICS.items():
        found = [claim.verdict for claim in claims if claim.topic == topic]
        rows.append({'': f'[{title}](#{_anchor(title)})', 'claims': len(found),
                     **{verdict: found.count(verdict) or '' for verdict in _VERDICTS}})
    return table(rows)


def _anchor(title):
    """Of a heading, as GitHub makes it."""
    return ''.join(c for c in title.lower().replace(' ', '-') if c.isalnum() or c in '-_')


def _evidence(claims):
    rows = [{'claim': claim.text if i == 0 else '', 'on': evidence.where, 'measured': evidence.text,
             'says': evidence.word, 'verdict': f'**{claim.verdict}**' if i == 0 else ''}
            for claim in claims for i, evidence in enumerate(claim.evidence)]
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
        rows = [{'data': name, 'layers and steps': count['cases'], 'condition holds': count['holds'],
                 f'of these CV_asy < CV_tri, h = {BIAS:g}': count['smaller'], 'h = 1': count['smaller_h1'],
                 f'potentials as they are, h = {BIAS:g}': f'{count["measured"]} of {count["measurable"]}'}
                for name, count in ((name, layer_theory(group)) for name, group in groups.items())]
        layers = [dict(row, cv_asy={float(h): cv for h, cv in row['cv_asy'].items()})
                  for group in groups.values() for entry in group.methods.get(A2SG, [])
                  for row in entry.sections['variation']['theory']]
        return (f'{text}\n**In the trained networks**\n\n{table(rows)}\n![theorem 4.2, rings: layers of A2SG runs]'
                f'({pictures.add("theorem_4_2", plots.theory_figure(layers))})\n')
    if topic == 'growth':
        rows = [{'shape': row['shape'], 'hidden layers': row['layers'], 'exponent': row['exponent'],
                 'remark': row['why']} for row in growths]
        text = f'\n{table(rows)}'
        shown = {f'{row["shape"]}, {row["layers"]} hidden': row['growth'] for row in growths
                 if row['growth'] and row['layers'] == 2}
        return text + (f'\n![growth]({pictures.add("growth", plots.growth_figure(shown))})\n' if shown else '')
    return ''


def _windows(groups, pictures):
    text = ''
    for name, group in groups.items():
        for entry in group.methods.get(A2SG, [])[:1]:
            figure = plots.beta_figure(variation.read_adaptation_log(entry.run.path),
                                       f'{name}: windows that A2SG chose, seed {entry.run.seed}')
            text += f'\n![windows, {name}]({pictures.add(f"{_stem(name)}_beta", figure)})\n'
    return text


def _bridge(name, group, pictures):
    rows = bridge_rows(group)
    constants = [row['relative_c'] for row in rows if row['relative_c']]
    small = sum(row['cv'] is not None and row['cv'] < 1 for row in rows)
    text = (f'\n{name}: {len(rows)} layers of {len(group.entries)} runs. CV is below 1, where the linear term leads, '
            f'in {small}, and undefined, as mu = 0, in {sum(row["cv"] is None for row in rows)}.')
    if constants:
        text += (f' The constant that each needs by itself, c / Lambda, runs from {min(constants):.3g} to '
                 f'{max(constants):.3g}.')
    picture = pictures.add(f'{_stem(name)}_bridge', excess_figure(group, excess(rows), name))
    return f'{text}\n\n![bridge, {name}]({picture})\n'
