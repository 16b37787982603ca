"""Statistics over a few seeds: means with intervals, paired tests, and a correction for many tests.

None stands for a figure that does not exist, such as the spread of one value or a test without pairs.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from scipy import stats

_Name = TypeVar('_Name')

Curve = list[tuple[float, float, float, float]]
"""Points (iteration, mean, least, greatest) of a curve over seeds."""

# Differences that agree to this many decimals are ties. Digits beyond them are rounding errors.
_DECIMALS = 9


class Summary(NamedTuple):
    """The mean of n values, their sample standard deviation (n - 1), and the 95 % confidence interval of the mean."""

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None


class Comparison(NamedTuple):
    """Two methods over their n common seeds: the mean difference, its 95 % interval, and two-sided p values."""

    n: int
    difference: float | None
    low: float | None
    high: float | None
    t_p: float | None
    wilcoxon_p: float | None


def summarize(values: Iterable[float]) -> Summary:
    """Summarize values that are taken to be normally distributed.

    The interval is mean +- t(0.975, n - 1) std / sqrt(n). Fewer than two values have no spread and no interval.

    >>> summarize([1, 2, 3]).mean
    2.0
    """
    values = [float(v) for v in values]
    if not values:
        return Summary(0, None, None, None, None)
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Summary(1, mean, None, None, None)
    std = statistics.stdev(values)
    half = float(stats.t.ppf(0.975, n - 1)) * std / n**0.5
    return Summary(n, mean, std, mean - half, mean + half)


def over_seeds(curves: Iterable[Sequence[tuple[float, float | None]]]) -> Curve:
    """Return mean, least and greatest value over seeds, at the iterations that all curves have.

    Args:
        curves: points (iteration, value) of each seed. Curves without points and points without a value are left out.

    >>> over_seeds([[(10, 1.0), (20, 2.0)], [(10, 3.0)]])
    [(10, 2.0, 1.0, 3.0)]
    """
    by_iteration = [{x: y for x, y in curve if y is not None} for curve in curves if curve]
    if not by_iteration:
        return []
    common = set.intersection(*(set(curve) for curve in by_iteration))
    values = {x: [curve[x] for curve in by_iteration] for x in sorted(common)}
    return [(x, statistics.fmean(ys), min(ys), max(ys)) for x, ys in values.items()]


def compare(values: Mapping[int, float], reference: Mapping[int, float]) -> Comparison:
    """Compare the runs of a method with the reference's runs of the same seeds.

    Args:
        values: {seed: value} of the method.
        reference: {seed: value} of the reference. Seeds that only one of the two has are left out.

    Returns:
        The paired difference values - reference. It has no interval and no tests for fewer than two common seeds. Where
        all differences are alike, and not 0, it has no interval and no t test, see `paired_t`.

    >>> compare({0: 3.0, 1: 5.0, 7: 9.0}, {0: 1.0, 1: 2.0}).difference
    2.5
    """
    seeds = sorted(values.keys() & reference.keys())
    differences = [round(float(values[s]) - float(reference[s]), _DECIMALS) for s in seeds]
    n, mean, _, low, high = summarize(differences)
    if n < 2:
        return Comparison(n, mean, None, None, None, None)
    t_p = paired_t(differences)
    if t_p is None:
        low = high = None
    return Comparison(n, mean, low, high, t_p, wilcoxon(differences))


def paired_t(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of the t test that the mean of n >= 2 differences is 0.

    p is 1 if all differences are 0. It is None if all are alike otherwise: t would be infinite, and that says that the
    measure is too coarse, not that the mean is known exactly.
    """
    if not any(differences):
        return 1.0
    if len(set(differences)) == 1:
        return None
    return float(stats.ttest_1samp(differences, 0).pvalue)


def wilcoxon(differences: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test.

    Differences of 0 are left out and ties share their mean rank. p is exact for up to 50 differences without ties and
    for up to 13 with ties; beyond that it is the normal approximation. p is 1 if no difference is left.
    """
    differences = [d for d in differences if d != 0]
    return float(stats.wilcoxon(differences).pvalue) if differences else 1.0


def smallest_wilcoxon_p(n: int) -> float:
    """Return the smallest two-sided p that n differences without ties can have, 2 / 2^n.

    >>> smallest_wilcoxon_p(5)
    0.0625
    """
    return min(1.0, 2.0 ** (1 - n))


def holm(p_values: Mapping[_Name, float | None], family: int | None = None) -> dict[_Name, float | None]:
    """Adjust p values for their number by Holm's step-down method.

    The adjusted p of the i-th smallest of m values is max over j <= i of min(1, (m - j + 1) p_j). Rejecting where it is
    at most alpha keeps the family-wise error at alpha, whatever the dependence between the tests.

    Args:
        p_values: {name: p}. A p of None stays None.
        family: number of comparisons m, where some have no p; by default that of the p values.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm({'a': 0.01, 'b': 0.04, 'c': None})
    {'a': 0.02, 'b': 0.04, 'c': None}
    """
    present = sorted(((p, name) for name, p in p_values.items() if p is not None), key=lambda pair: pair[0])
    adjusted: dict[_Name, float | None] = dict.fromkeys(p_values)
    m, running = family or len(present), 0.0
    for i, (p, name) in enumerate(present):
        running = max(running, min(1.0, (m - i) * p))
        adjusted[name] = running
    return adjusted
