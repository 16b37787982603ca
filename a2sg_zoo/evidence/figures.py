"""Pictures of the pages alone: the data sets side by side, verdicts at a glance, the condition of Theorem 4.2."""

import io
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from a2sg_zoo.analysis.compare import Group
from a2sg_zoo.analysis.figures.comparison import draw_landscapes, draw_points, training_curves
from a2sg_zoo.analysis.figures.style import new_figure, tidy
from a2sg_zoo.analysis.figures.training import draw_curves, method_figure
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


class Pictures:
    """Writes the pictures of a page into the folder `why_it_works` beside it.

    Args:
        out: folder of the page.
    """

    def __init__(self, out: str | os.PathLike) -> None:
        self.out = Path(out)

    def add(self, stem: str, figure: Figure, label: str) -> str:
        """Write a picture and return the Markdown that shows it."""
        save_picture(figure, self.out / 'why_it_works' / f'{stem}.png')
        return f'![{label}](why_it_works/{stem}.png)'


def variation_figure(groups: Mapping[str, Group]) -> Figure:
    """Draw CV and TGC over training, a column for each data set."""

    def curve(statistic: str) -> Callable[[Axes, Group], None]:
        return lambda axes, group: draw_curves(axes, training_curves(group, statistic))

    figure = _side_by_side(groups, {'CV of local gradients': curve('cv'), 'TGC': curve('tgc')}, legend=True)
    for axes in figure.axes[len(groups) :]:
        axes.set_xlabel('iteration')
    return figure


def flatness_figure(groups: Mapping[str, Group]) -> Figure:
    """Draw the loss around the minima and the largest Fisher eigenvalue, a column for each data set."""
    figure = _side_by_side(
        groups,
        {
            'loss - loss at 0': draw_landscapes,
            'largest Fisher eigenvalue': lambda axes, group: draw_points(axes, group, 'fisher'),
        },
        legend=True,
    )
    for axes in figure.axes[: len(groups)]:
        axes.set_xlabel('step along random directions', fontsize=8)
    return figure


def generalisation_figure(groups: Mapping[str, Group]) -> Figure:
    """Draw test accuracy and the gap of the loss, a point for each run, a column for each data set."""
    return _side_by_side(
        groups,
        {
            'test accuracy, %': lambda axes, group: draw_points(axes, group, 'accuracy'),
            'test loss - training loss': lambda axes, group: draw_points(axes, group, 'gap'),
        },
    )


def _side_by_side(
    groups: Mapping[str, Group], rows: Mapping[str, Callable[[Axes, Group], None]], legend: bool = False
) -> Figure:
    """A column for each data set, a row for each {label of its y axis: how it is drawn}."""
    figure = new_figure(4.6 * max(len(groups), 1), 2.7 * len(rows))
    for i, (label, draw) in enumerate(rows.items()):
        for j, (name, group) in enumerate(groups.items()):
            axes = tidy(figure.add_subplot(len(rows), len(groups), i * len(groups) + j + 1))
            draw(axes, group)
            axes.tick_params(which='both', labelsize=8)
            if i == 0:
                axes.set_title(name, fontsize=10)
            if j == 0:
                axes.set_ylabel(label, fontsize=9)
    if legend:
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc='outside lower center', ncols=6, frameon=False, fontsize=9
        )
    return figure


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
