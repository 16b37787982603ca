"""Few seeds, honestly: means with intervals, paired tests, and the correction for many of them.

None stands for a figure that does not exist: a spread of one value, a test without pairs.
"""

import math
import statistics
from typing import NamedTuple

from scipy import stats

# differences that agree to so many decimals are ties: what is beyond is the rounding of floating-point numbers
_DECIMALS = 9


class Summary(NamedTuple):
    """Of n values: mean, sample standard deviation (n - 1), and the 95 % confidence interval of the mean."""

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None


class Comparison(NamedTuple):
    """Of two methods over their common seeds: the mean difference and its 95 % interval, and two-sided p values."""

    n: int
    difference: float | None
    low: float | None
    high: float | None
    t_p: float | None
    wilcoxon_p: float | None


def summarize(values):
    """mean +- t(0.975, n - 1) std / sqrt(n), for values taken to be normal; without interval for fewer than 2."""
    values = [float(v) for v in values]
    n = len(values)
    if n == 0:
        return Summary(0, None, None, None, None)
    mean = statistics.fmean(values)
    if n == 1:
        return Summary(1, mean, None, None, None)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(stats.t.ppf(0.975, n - 1)) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)


def compare(values, reference):
    """The paired difference values - reference.

    Args:
        values, reference: {seed: value}; only common seeds count.
    """
    seeds = sorted(values.keys() & reference.keys())
    differences = [round(float(values[s]) - float(reference[s]), _DECIMALS) for s in seeds]
    n, mean, std, low, high = summarize(differences)
    if n < 2:
        return Comparison(n, mean, None, None, None, None)
    return Comparison(n, mean, low, high, paired_t(differences), wilcoxon(differences))


def paired_t(differences):
    """Two-sided p of the t test that the mean of n >= 2 differences is 0.

    1 if all are 0. None if they are all alike otherwise: t would be infinite, which says that the measure is too
    coarse rather than that the mean is known exactly.
    """
    if not any(differences):
        return 1.0
    if len(set(differences)) == 1:
        return None
    n, mean, std, *_ = summarize(differences)
    return float(2 * stats.t.sf(abs(mean) * math.sqrt(n) / std, n - 1))


def wilcoxon(differences):
    """Two-sided p of Wilcoxon's signed-rank test, exact for any number and any ties.

    Differences of 0 are left out, ties share their mean rank, and p is the share of the 2^n ways to sign the ranks
    whose sum of positive ranks lies as far from its mean, or farther. 1 if no difference is left.
    """
    differences = [d for d in differences if d != 0]
    if not differences:
        return 1.0
    # twice the mean ranks are whole numbers
    ranks = [int(2 * r) for r in stats.rankdata([abs(d) for d in differences])]
    positive = sum(r for r, d in zip(ranks, differences) if d > 0)
    # ways[w]: in how many ways the positive ranks add up to w
    ways = [1]
    for rank in ranks:
        longer = ways + [0] * rank
        for w, count in enumerate(ways):
            longer[w + rank] += count
        ways = longer
    total = sum(ranks)
    extreme = abs(2 * positive - total)
    return sum(count for w, count in enumerate(ways) if abs(2 * w - total) >= extreme) / 2 ** len(ranks)


def smallest_wilcoxon_p(n):
    """The least two-sided p that n differences without ties can have: 2 / 2^n, and 1 for one."""
    return min(1.0, 2.0 ** (1 - n))


def holm(p_values):
    """Holm's step-down adjustment of p values, {name: p}; those that are None take no part and stay None.

    p adjusted of the i-th smallest of m is max over j <= i of min(1, (m - j + 1) p_j). A family-wise error of alpha
    is kept by rejecting where it is <= alpha, whatever the dependence between the tests.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    present = sorted(((p, name) for name, p in p_values.items() if p is not None), key=lambda pair: pair[0])
    adjusted, running = dict.fromkeys(p_values), 0.0
    for i, (p, name) in enumerate(present):
        running = max(running, min(1.0, (len(present) - i) * p))
        adjusted[name] = running
    return adjusted
