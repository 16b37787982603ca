"""Statistics against formulas, enumeration, and values worked out by hand."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from a2sg_zoo.benchmark.reports.statistics import compare, holm, paired_t, smallest_wilcoxon_p, summarize, wilcoxon

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=12)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def test_by_hand():
    # 1, 2, 3, 4, 5: mean 3, sum of squares 10, std sqrt(10 / 4) = 1.5811, t(0.975, 4) = 2.7764,
    # half width 2.7764 * 1.5811 / sqrt(5) = 1.9632
    summary = summarize([1, 2, 3, 4, 5])
    assert summary[:2] == (5, 3) and summary[2:] == pytest.approx((1.581139, 3 - 1.963243, 3 + 1.963243), abs=1e-6)
    assert summarize([7.5]) == (1, 7.5, None, None, None)
    assert summarize([]) == (0, None, None, None, None)


@given(VALUES)
def test_summary_against_scipy(values):
    n, mean, std, low, high = summarize(values)
    assert (n, mean, std) == (len(values), pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    if std > 1e-6:
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


# worked out by this project's own formulas, before SciPy's tests took their place
KNOWN = [
    ([0.5, -1.25, 2.0, 0.75, 1.5], 0.27624097799351965, 0.3125),
    ([1.0, 1.0, 2.0, -1.0, 0.0, 3.0], 0.14381080871160395, 0.25),
    ([0.3, 0.3, -0.1], 0.3377338214674781, 0.5),
    ([-2.4, -1.9, -3.1, -2.2, -0.8, -4.0, 1.1], 0.02278591196475713, 0.046875),
    ([2.0, 2.0, 2.0, 2.0, -2.0, 1.0, 0.0, 0.0], 0.1333644721002425, 0.21875),
]


@pytest.mark.parametrize('differences, t_p, wilcoxon_p', KNOWN)
def test_known_p_values(differences, t_p, wilcoxon_p):
    assert paired_t(differences) == pytest.approx(t_p, rel=1e-12)
    assert wilcoxon(differences) == wilcoxon_p


@given(VALUES)
def test_t_is_the_formula(differences):
    if len(set(differences)) > 1:
        t = np.mean(differences) / (np.std(differences, ddof=1) / len(differences) ** 0.5)
        assert paired_t(differences) == pytest.approx(2 * stats.t.sf(abs(t), len(differences) - 1), rel=1e-6)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=25, unique=True), st.data())
def test_wilcoxon_without_ties_against_the_count_of_rank_sums(sizes, data):
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(sizes), max_size=len(sizes)))
    differences = [size * sign for size, sign in zip(sizes, signs)]
    # ways[w]: in how many of the 2^n ways to sign the ranks the positive ones add up to w
    ways = np.ones(1)
    for rank in range(1, len(sizes) + 1):
        ways = np.append(ways, np.zeros(rank)) + np.append(np.zeros(rank), ways)
    total = len(ways) - 1
    positive = sum(rank for rank, d in enumerate(sorted(differences, key=abs), 1) if d > 0)
    extreme = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * positive - total)
    assert wilcoxon(differences) == pytest.approx(ways[extreme].sum() / 2 ** len(sizes))


@settings(max_examples=50)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_wilcoxon_with_ties_and_zeros_against_enumeration(differences):
    nonzero = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(nonzero)) if nonzero else []
    sums = [sum(r for r, up in zip(ranks, ups) if up) for ups in itertools.product([0, 1], repeat=len(nonzero))]
    seen, middle = sum(r for r, d in zip(ranks, nonzero) if d > 0), sum(ranks) / 2
    expected = np.mean([abs(s - middle) >= abs(seen - middle) for s in sums])
    assert wilcoxon(differences) == pytest.approx(expected)


def test_five_seeds_cannot_reach_five_percent_by_wilcoxon():
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]) == smallest_wilcoxon_p(5) == 0.0625
    assert [smallest_wilcoxon_p(n) for n in (1, 2, 6)] == [1, 0.5, 0.03125]


def test_paired_over_common_seeds():
    ours, reference = {0: 50.0, 1: 52.0, 2: 51.0, 7: 90.0}, {0: 49.0, 1: 49.0, 2: 49.0, 9: 10.0}
    result = compare(ours, reference)
    expected = stats.ttest_rel([50, 52, 51], [49, 49, 49])
    interval = expected.confidence_interval(0.95)
    assert (result.n, result.difference) == (3, 2)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.t_p == pytest.approx(expected.pvalue) and result.wilcoxon_p == 0.25


def test_degenerate_pairs():
    assert compare({}, {0: 1.0}) == (0, None, None, None, None, None)
    assert compare({0: 3.0}, {0: 1.0, 1: 2.0}) == (1, 2.0, None, None, None, None)
    same = {0: 1.0, 1: 2.0, 2: 5.0}
    assert compare(same, same) == (3, 0, 0, 0, 1, 1)
    # 0.1 + 0.2 is not quite 0.3, and still all three differences are alike
    shifted = compare({0: 0.1 + 0.2, 1: 1.3, 2: 2.3}, {0: 0.0, 1: 1.0, 2: 2.0})
    assert (shifted.n, shifted.difference) == (3, pytest.approx(0.3)) and shifted.wilcoxon_p == 0.25
    assert shifted.low is shifted.high is shifted.t_p is None  # a coarse measure, not certainty
    # one that differs, the rest zeros: nothing to see for Wilcoxon
    assert compare({0: 1.0, 1: 1.0, 2: 2.0}, {0: 1.0, 1: 1.0, 2: 1.0}).wilcoxon_p == 1


def test_holm_by_hand():
    # sorted .005, .01, .03, .04: times 4, 3, 2, 1 = .02, .03, .06, .04, made monotone .02, .03, .06, .06
    assert holm(dict(a=0.01, b=0.04, c=0.03, d=0.005, e=None)) == pytest.approx(
        dict(a=0.03, b=0.06, c=0.06, d=0.02, e=None)
    )
    assert holm({}) == {} and holm(dict(a=0.7, b=0.6)) == dict(a=1, b=1)
    assert holm(dict(a=0.01, b=None), family=2) == dict(a=0.02, b=None)


@given(st.dictionaries(st.integers(), st.floats(0, 1), max_size=8))
def test_holm_lies_between_the_raw_and_bonferroni(p):
    adjusted = holm(p)
    for name, value in p.items():
        assert value <= adjusted[name] <= min(1, len(p) * value)
    order = sorted(p, key=p.get)
    for alpha in (0.01, 0.05, 0.3):  # the procedure, step by step
        rejected = set()
        for i, name in enumerate(order):
            if p[name] * (len(p) - i) > alpha:
                break
            rejected.add(name)
        assert rejected == {name for name in p if adjusted[name] <= alpha}
