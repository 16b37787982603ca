"""The look of all figures: styles of series, axes, and how a figure is written to files.

Series differ in colour (`a2sg_zoo.utils.palette`), marker and line style, and images use matplotlib's viridis, so that
people with a colour vision deficiency can tell them apart.
"""

import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.utils.palette import COLOURS

_MARKERS, _LINES = 'osD^vPX*', ('-', '--', '-.', ':')


def new_figure(width: float = 8, height: float = 4.5) -> Figure:
    """Make an empty figure of `width` x `height` inches with a constrained layout."""
    return Figure(figsize=(width, height), layout='constrained')


def tidy(axes: Axes, **labels: Any) -> Axes:
    """Remove the upper and right border of axes, add a light grid, and set `labels`, such as `xlabel` and `title`."""
    axes.set(**labels)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    return axes


def series_styles() -> Iterator[dict[str, Any]]:
    """Yield dict(color, marker, linestyle) for one series after the other, without end.

    Example:
        >>> from a2sg_zoo.analysis.figures.style import series_styles
        >>> next(series_styles())
        {'color': '#0072B2', 'marker': 'o', 'linestyle': '-'}
    """
    cycles = (itertools.cycle(values) for values in (COLOURS, _MARKERS, _LINES))
    return ({'color': c, 'marker': m, 'linestyle': line} for c, m, line in zip(*cycles))


def positive_or_gap(values: Iterable[float | None]) -> list[float]:
    """Replace what a log axis cannot show (None, zero, negative numbers and NaN) by NaN, which leaves a gap.

    Example:
        >>> from a2sg_zoo.analysis.figures.style import positive_or_gap
        >>> positive_or_gap([2.0, 0.0, None])
        [2.0, nan, nan]
    """
    return [v if v is not None and v > 0 else math.nan for v in values]


def short_name(layer: str) -> str:
    """Shorten the name of a layer for a tick label: without 'backbone.' or 'decode_head.', at most 32 characters.

    Example:
        >>> from a2sg_zoo.analysis.figures.style import short_name
        >>> short_name('backbone.stages.0.neuron1')
        'stages.0.neuron1'
    """
    for prefix in ('backbone.', 'decode_head.', 'detection_head.'):
        layer = layer.removeprefix(prefix)
    return layer if len(layer) <= 32 else '...' + layer[-29:]


def label_layers(axes: Axes, layers: Sequence[str]) -> None:
    """Write the names of layers below an x axis that has one layer at each of 0, 1, 2, ..."""
    axes.set_xticks(
        range(len(layers)),
        [short_name(layer) for layer in layers],
        rotation=60,
        ha='right',
        rotation_mode='anchor',
        fontsize=7,
    )


def save(figure: Figure, stem: str | Path, kinds: Sequence[str] = ('png', 'svg')) -> list[Path]:
    """Write a figure to STEM.png and STEM.svg; the same figure always gives the same bytes.

    Args:
        figure: the figure.
        stem: path of the files without their ending.
        kinds: endings of the files.

    Returns:
        Paths of the files.
    """
    paths = []
    for kind in kinds:
        data = io.BytesIO()
        # no date and no random names in the file
        with matplotlib.rc_context({'svg.hashsalt': 'a2sg_zoo', 'svg.fonttype': 'none'}):
            figure.savefig(data, format=kind, dpi=150, metadata={'Date': None} if kind == 'svg' else None)
        paths.append(Path(f'{stem}.{kind}'))
        write_atomically(data.getvalue(), paths[-1])
    return paths


def to_tensorboard(figures: Mapping[str, Figure], folder: str | Path) -> None:
    """Write figures {stem: figure} into a TensorBoard event file in `folder`, as images analysis/STEM."""
    from torch.utils.tensorboard import SummaryWriter  # this import takes a second, so only this function pays for it

    with SummaryWriter(str(folder)) as writer:
        for stem, figure in figures.items():
            writer.add_figure(f'analysis/{stem}', figure)
