"""A row of the table of speed and memory."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        what: what was measured.
        against: what it is compared with.
        ratio: ratio of the medians.
        reach: largest ratio that this project aims at, or None.
        medians: {name: seconds, or bytes} of all that took part.
        runs: {name: seconds of each round}; empty for memory.
    """

    what: str
    against: str
    ratio: float
    reach: float | None
    medians: Mapping[str, float]
    runs: Mapping[str, Sequence[float]] = {}


def unevenness(seconds: Mapping[int, float]) -> float:
    """Return the factor between the mean cost of a further time step and the cost that is farthest from it.

    Args:
        seconds: {T: seconds}, T ascending.

    Returns:
        At least 1; infinity if a further step costs nothing or less.

    >>> unevenness({1: 1.0, 2: 2.0, 4: 4.0})
    1.0
    """
    points = list(seconds.items())
    slopes = [(y - x) / (b - a) for (a, x), (b, y) in zip(points, points[1:])]
    if min(slopes) <= 0:
        return math.inf
    mean = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
    return max(max(slope / mean, mean / slope) for slope in slopes)
