"""The page `why_it_works.md`: the three links of the paper's argument, and the verdicts that follow from measurements.

Words that depend on a result are chosen by the verdict. All other words say only what was done.
"""

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a2sg_zoo.analysis.compare import Group, cell_of
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence.figures import Pictures, flatness_figure, generalisation_figure, variation_figure
from a2sg_zoo.evidence.paper import A2SG, CORRELATION, FIXED_TRI, ORDERS, Link, chain
from a2sg_zoo.evidence.prose import LIMITS, LINK_INTRODUCTIONS, REPEAT, RULES, SUMMARY
from a2sg_zoo.evidence.verdicts import FAILED, HELD, MIXED, OPEN, PART, Claim
from a2sg_zoo.hub.files import write_output

VERDICTS = (HELD, PART, MIXED, FAILED, OPEN)
# of each link
_FIGURES = (variation_figure, flatness_figure, generalisation_figure)
# {sign of evidence: how a sentence says it of several steps}
_SAYS = {1: 'support that', -1: 'contradict that', 0: 'leave open whether'}


def write_document(
    out: str | os.PathLike,
    groups: Mapping[str, Group],
    claims: Sequence[Claim],
    command: str,
    facts: Sequence[tuple[str, str]],
    numbers: Mapping[str, Any],
) -> str:
    """Write why_it_works.md, and its pictures in the folder why_it_works beside it.

    Args:
        out: folder of the page.
        groups: {data set: measured runs}.
        claims: from `paper.evaluate`.
        command: command line that writes the page.
        facts: (name, text) of networks, data and versions.
        numbers: values for the braces in `prose`.

    Returns:
        The text.

    Raises:
        ConfigError: a file could not be written, or another program wrote it.
    """
    pictures = Pictures(out)
    parts = ['# Does A2SG work for the reasons that the paper gives?', SUMMARY, finding(claims)]
    for i, (link, steps) in enumerate(chain(claims)):
        parts += [
            f'## {link.title}',
            LINK_INTRODUCTIONS[i],
            _methods(link, groups),
            pictures.add(f'link_{i + 1}', _FIGURES[i](groups), link.title),
            outcome(link, steps, claims, groups),
        ]
    parts += [
        '## What was measured',
        '\n'.join(f'- {name}: {value}' for name, value in facts),
        RULES,
        '## Limits',
        LIMITS.format(**numbers),
        '## How to repeat this',
        f'```\n{command}\n```',
        REPEAT,
    ]
    return write_page(parts, Path(out) / 'why_it_works.md')


def write_page(parts: Sequence[str], path: Path) -> str:
    """Write the parts of a page that are not empty, and return its text.

    Raises:
        ConfigError: the file could not be written, or another program wrote it.
    """
    text = '\n\n'.join(part.strip('\n') for part in parts if part) + '\n'
    write_output(text, path, 'why_it_works')
    return text


def finding(claims: Sequence[Claim]) -> str:
    """Return the summary: each step of each link on each data set, and the counts. Verdicts choose every word."""
    rows = [
        {
            'link': f'[{link.title.split(":")[0]}](#{anchor(link.title)})' if i == 0 else '',
            'with A2SG in place of fixed TRI': step,
            **{evidence.where: evidence.word for evidence in claim.evidence},
            'verdict': f'**{claim.verdict}**',
        }
        for link, steps in chain(claims)
        for i, (step, claim) in enumerate(steps.items())
    ]
    counts = [claim.verdict for claim in claims]
    count = ', '.join(f'{counts.count(verdict)} {verdict}' for verdict in VERDICTS if verdict in counts)
    return (
        f'{table(rows)}\nThe [rules of verdicts](#what-was-measured) are below. The [details](why_it_works_details.md) '
        f'have all {len(claims)} claims that were tested, with the theorems: {count}.'
    )


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives a heading.

    >>> anchor('Theorems 4.1 and 4.2')
    'theorems-41-and-42'
    """
    return ''.join(c for c in title.lower().replace(' ', '-') if c.isalnum() or c in '-_')


def _methods(link: Link, groups: Mapping[str, Group]) -> str:
    """A row for each method, a column for each measure on each data set."""
    methods = dict.fromkeys(method for group in groups.values() for method in group.methods)
    return table(
        [
            {'method': method}
            | {
                f'{name}: {head}': str(cell_of(group.methods.get(method, []), measure))
                for name, group in groups.items()
                for measure, head in link.columns.items()
            }
            for method in methods
        ]
    )


def outcome(link: Link, steps: Mapping[str, Claim], claims: Sequence[Claim], groups: Mapping[str, Group]) -> str:
    """Return the sentences that say what came out of a link.

    Args:
        link: the link.
        steps: {step: its claim}, from `paper.chain`.
        claims: all claims.
        groups: {data set: measured runs}.
    """
    lines = [_signs(name, steps) for name in groups]
    first = next(iter(link.steps.values()))
    wanted = next(o.wanted for o in ORDERS if (o.measure, o.a, o.b) == (first, A2SG, FIXED_TRI))
    best = [f'{found} on {name}' for name, group in groups.items() if (found := _best(group, first, wanted))]
    if best:
        word = dict(lower='lowest', higher='highest')[wanted]
        lines.append(f'The method with the {word} mean in the column "{link.columns[first]}" is {_joined(best)}.')
    lines += _widths(groups) if not link.topic else []
    evidence = [
        e
        for claim in claims
        if claim.topic == link.topic and claim.text.startswith(CORRELATION)
        for e in claim.evidence
    ]
    if evidence:
        signs = [e.sign for e in evidence]
        lines.append(
            f'If this follows from the link before, {link.follows}. Of {len(signs)} rank correlations over all runs of '
            f'a data set, {signs.count(1)} support this, {signs.count(-1)} contradict it, and {signs.count(0)} leave '
            'it open.'
        )
    return '\n'.join(lines)


def _signs(name: str, steps: Mapping[str, Claim]) -> str:
    """What the measurements on one data set say of the steps."""
    found: dict[int, list[str]] = {}
    for step, claim in steps.items():
        for evidence in claim.evidence:
            if evidence.where == name:
                found.setdefault(evidence.sign, []).append(step)
    clauses = [f'{_SAYS[sign]} {_joined(found[sign])}' for sign in _SAYS if sign in found]
    return f'On {name}, the measurements {_joined(clauses)}, with A2SG in place of fixed TRI.'


def _best(group: Group, measure: str, wanted: str) -> str:
    """The method with the best mean of a measure; '' if no run has the measure."""
    means = {m: mean for m, entries in group.methods.items() if (mean := cell_of(entries, measure).mean) is not None}
    if not means:
        return ''
    return (min if wanted == 'lower' else max)(means, key=lambda method: means[method])


def _widths(groups: Mapping[str, Group]) -> list[str]:
    """A sentence on where the widths of A2SG ended."""
    parts = []
    for name, group in groups.items():
        found = [entry.values for entry in group.methods.get(A2SG, []) if 'width_high' in entry.values]
        if found:
            low, high = (statistics.fmean(values[key] for values in found) for key in ('width_low', 'width_high'))
            parts.append(f'{high:.0%} lie at the upper and {low:.0%} at the lower end of the search space on {name}')
    return [f"Of A2SG's widths at the end of training, {', and '.join(parts)}."] if parts else []


def _joined(parts: Sequence[str]) -> str:
    """Parts as 'a', 'a and b', or 'a, b, and c'."""
    if len(parts) < 3:
        return ' and '.join(parts)
    return f'{", ".join(parts[:-1])}, and {parts[-1]}'
