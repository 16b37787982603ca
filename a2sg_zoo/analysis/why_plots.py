"""Pictures of the document alone: verdicts at a glance, and the form of the curvature bridge."""

import numpy as np
from matplotlib.lines import Line2D

from a2sg_zoo.analysis.plots import COLOURS, _figure, _tidy

# colour and mark, so that the colours are not needed
_MARKS = {1: ('#0072B2', 'o'), 0: ('#BBBBBB', 's'), -1: ('#D55E00', 'X')}
_NAMES = {1: 'supports', 0: 'open', -1: 'contradicts'}


def verdict_figure(claims):
    """A row for each claim, a mark for each piece of evidence."""
    figure = _figure(9, 0.24 * len(claims) + 0.9)
    axes = figure.add_subplot()
    for y, claim in enumerate(claims):
        for x, evidence in enumerate(claim.evidence):
            colour, marker = _MARKS[evidence.sign]
            axes.scatter(x, y, color=colour, marker=marker, s=46)
    axes.set_yticks(range(len(claims)), [_shortened(claim.text) for claim in claims], fontsize=7)
    axes.set_ylim(len(claims) - 0.5, -0.5)
    for y in range(1, len(claims)):
        if claims[y].topic != claims[y - 1].topic:
            axes.axhline(y - 0.5, color='#CCCCCC', linewidth=0.8)
    widest = max(len(claim.evidence) for claim in claims)
    for y, claim in enumerate(claims):
        axes.text(widest - 0.3, y, claim.verdict, fontsize=7, va='center')
    axes.set(xticks=[], xlim=(-0.7, widest + 1.2))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [Line2D([], [], color=colour, marker=marker, linestyle='none', label=_NAMES[sign])
               for sign, (colour, marker) in _MARKS.items()]
    figure.legend(handles=handles, loc='outside upper right', ncols=3, frameon=False, fontsize=8)
    return figure


def _shortened(text, length=84):
    return text if len(text) <= length else f'{text[:length - 3]}...'


def excess_figure(group, points, title=''):
    """What a layer's Fisher eigenvalue has beyond its rank-one part, over CV, with lines of slope 1 and 2.

    Args:
        group: whose runs they are.
        points: from `why.excess`.
    """
    figure = _figure(7, 4.5)
    axes = _tidy(figure.add_subplot(), xlabel='CV of delta, Std / |mu|', ylabel='lambda_max / (mu² Lambda) - 1',
                 title=f'{title}: a point for each layer of {len(group.entries)} runs')
    if not points:
        axes.text(0.5, 0.5, 'no layer has both', transform=axes.transAxes, ha='center')
        return figure
    x, y = np.array(points).T
    axes.scatter(x, y, s=14, color=COLOURS[0], alpha=0.6, linewidths=0)
    centre = np.exp(np.log(x).mean()), np.exp(np.log(y).mean())
    ends = np.array([x.min(), x.max()])
    for slope, line in ((1, '--'), (2, '-.')):
        axes.plot(ends, centre[1] * (ends / centre[0]) ** slope, color='#666666', linestyle=line,
                  label=f'slope {slope}')
    axes.set(xscale='log', yscale='log')
    axes.legend(frameon=False)
    return figure
