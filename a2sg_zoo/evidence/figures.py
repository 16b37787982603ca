"""Pictures of the document alone: verdicts at a glance, and the condition of Theorem 4.2 over training."""

import statistics

from matplotlib.lines import Line2D

from a2sg_zoo.analysis.figures.style import new_figure
from a2sg_zoo.analysis.figures.training import method_figure
from a2sg_zoo.evidence.paper import condition_curves
from a2sg_zoo.utils.palette import BLUE, GREY, LIGHT_GREY, PALE_GREY, VERMILION

# colour and mark, so that the colours are not needed
_MARKS = {1: (BLUE, 'o'), 0: (LIGHT_GREY, 's'), -1: (VERMILION, 'X')}
_NAMES = {1: 'supports', 0: 'open', -1: 'contradicts'}


def verdict_figure(claims):
    """A row for each claim, a mark for each piece of evidence."""
    figure = new_figure(9, 0.24 * len(claims) + 0.9)
    axes = figure.add_subplot()
    for y, claim in enumerate(claims):
        for x, evidence in enumerate(claim.evidence):
            colour, marker = _MARKS[evidence.sign]
            axes.scatter(x, y, color=colour, marker=marker, s=46)
    axes.set_yticks(range(len(claims)), [_shortened(claim.text) for claim in claims], fontsize=7)
    axes.set_ylim(len(claims) - 0.5, -0.5)
    for y in range(1, len(claims)):
        if claims[y].topic != claims[y - 1].topic:
            axes.axhline(y - 0.5, color=PALE_GREY, linewidth=0.8)
    widest = max(len(claim.evidence) for claim in claims)
    for y, claim in enumerate(claims):
        axes.text(widest - 0.3, y, claim.verdict, fontsize=7, va='center')
    axes.set(xticks=[], xlim=(-0.7, widest + 1.2))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle='none', label=_NAMES[sign])
        for sign, (colour, marker) in _MARKS.items()
    ]
    figure.legend(handles=handles, loc='outside upper right', ncols=3, frameon=False, fontsize=8)
    return figure


def _shortened(text, length=84):
    return text if len(text) <= length else f'{text[: length - 3]}...'


def condition_figure(group, title=''):
    """The median of L kappa / sigma^2 over layers and time steps, over training: a line a method, a band over its runs.
    None where no log has the moments of the potentials."""
    curves = {}
    for method in group.methods:
        found = [
            (iterations, [statistics.median(x) if x else None for x in ratios])
            for iterations, ratios in condition_curves(group, method)
        ]
        if any(x is not None for _, values in found for x in values):
            curves[method] = found
    if not curves:
        return None
    figure = method_figure(
        curves,
        'L kappa / sigma², median of layers and steps',
        f'{title}: the condition of Theorem 4.2 is that this exceeds 1',
    )
    axes = figure.axes[0]
    axes.axhline(1, color=GREY, linestyle=':')
    return figure
