"""Pictures of the document alone: verdicts at a glance, and the condition of Theorem 4.2 during training."""

import io
import os
import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from a2sg_zoo.analysis.compare import Group
from a2sg_zoo.analysis.figures.style import new_figure
from a2sg_zoo.analysis.figures.training import method_figure
from a2sg_zoo.evidence.theory import condition_curves
from a2sg_zoo.evidence.verdicts import Claim
from a2sg_zoo.hub.files import write_output
from a2sg_zoo.utils.palette import BLUE, GREY, LIGHT_GREY, PALE_GREY, VERMILION

# {sign of evidence: colour, marker}: the marker says the same as the colour
_MARKS = {1: (BLUE, 'o'), 0: (LIGHT_GREY, 's'), -1: (VERMILION, 'X')}
_NAMES = {1: 'supports', 0: 'open', -1: 'contradicts'}
_COLOURS = 64


def save_picture(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG with a palette of 64 colours, which takes a quarter of the space of true colours.

    Raises:
        ConfigError: the file could not be written, or another program wrote it.
    """
    data = io.BytesIO()
    figure.savefig(data, format='png', dpi=150)
    write_output(with_palette(Image.open(data)), path, 'why_it_works')


def with_palette(image: Image.Image) -> Image.Image:
    """Return an image with a palette of 64 colours, without transparency."""
    return image.convert('RGB').quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def verdict_figure(claims: Sequence[Claim]) -> Figure:
    """Draw a row for each claim with its verdict, and a mark for what each data set says of it."""
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


def _shortened(text: str, length: int = 100) -> str:
    return text if len(text) <= length else f'{text[: length - 3]}...'


def condition_figure(group: Group, title: str = '') -> Figure | None:
    """Draw the median of L kappa / sigma^2 over layers and time steps during training, a line for each method.

    Returns:
        The figure; None if no log has the moments of the potentials.
    """
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
        curves, 'L kappa / sigma², median of layers and steps', f'{title}: Theorem 4.2 needs a value above 1'
    )
    figure.axes[0].axhline(1, color=GREY, linestyle=':')
    return figure
