"""The rules of verdicts on numbers that are made up, against SciPy where it has the same."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

from a2sg_zoo.analysis.compare import Entry, Group
from a2sg_zoo.evidence.verdicts import (
    FAILED,
    HELD,
    MIXED,
    OPEN,
    PART,
    Claim,
    Evidence,
    for_all,
    order,
    order_in_all,
    rank_correlation,
    rises,
    slope,
    welch,
)


def entry(method, seed=0, sections=None, **values):
    run = SimpleNamespace(method=method, seed=seed, path=Path(method) / str(seed), name=f'{method}/{seed}')
    return Entry(run, {'all': dict(values=values), **(sections or {})}, 10)


def group(**methods):
    """Runs with `x`, a list for each method."""
    return Group(
        'net on data', [entry(method, seed, x=x) for method, xs in methods.items() for seed, x in enumerate(xs)]
    )


@pytest.mark.parametrize(
    'signs, verdict',
    [
        ([1], HELD),
        ([1, 1], HELD),
        ([1, 0], PART),
        ([0, 1, 0], PART),
        ([1, -1], MIXED),
        ([1, 0, -1], MIXED),
        ([-1], FAILED),
        ([-1, -1], FAILED),
        ([-1, 0], FAILED),
        ([0], OPEN),
        ([0, 0], OPEN),
        ([], OPEN),
    ],
)
def test_verdicts(signs, verdict):
    claim = Claim('topic', 'text', [Evidence(str(i), sign, '') for i, sign in enumerate(signs)])
    assert claim.verdict == verdict
    assert [e.word for e in claim.evidence] == [{1: 'supported', 0: 'open', -1: 'contradicted'}[s] for s in signs]


@pytest.mark.parametrize(
    'a, b',
    [([1.0, 2.0, 4.0], [3.0, 3.5, 5.0, 9.0]), ([0.1, 0.2], [100.0, 200.0, 50.0]), ([5.0, 5.0, 5.5], [1.0, 2.0, 4.0])],
)
def test_the_interval_is_welchs(a, b):
    found, expected = welch(a, b), stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(sum(a) / len(a) - sum(b) / len(b))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_there_is_no_interval_of_one_run():
    for a, b in ([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0]), ([], []):
        found = welch(a, b)
        assert (found.value, found.low, found.high) == (None, None, None)
        assert found.why and str(len(a)) in found.why and str(len(b)) in found.why


def test_there_is_no_interval_without_a_spread():
    for b in 2.0, 1.0:
        found = welch([1.0, 1.0], [b, b])
        assert (found.value, found.low, found.high) == (None, None, None) and found.why


@pytest.mark.parametrize('wanted, sign', [('lower', 1), ('higher', -1)])
def test_an_order_counts_where_the_interval_leaves_out_0(wanted, sign):
    apart, close = group(a=[1.0, 1.1, 1.2], b=[2.0, 2.1, 2.2]), group(a=[1.0, 1.5, 2.6], b=[2.0, 2.1, 2.2])
    assert order(apart, 'x', 'a', 'b', wanted).sign == sign
    assert order(close, 'x', 'a', 'b', wanted).sign == 0
    # at its edge: the least p is 0.05
    for shift, expected in ((0.001, sign), (-0.001, 0)):
        a, b = [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]
        edge = stats.t.ppf(0.975, 4) * (2 / 3) ** 0.5  # equal variances of 1: four degrees of freedom
        pair = group(a=a, b=[x - 1 + edge + shift for x in b])
        assert order(pair, 'x', 'a', 'b', wanted).sign == expected


def test_an_order_over_one_seed_or_none_is_open():
    for methods in (
        dict(a=[1.0], b=[2.0]),
        dict(a=[1.0, 1.1, 1.2], b=[9.0]),
        dict(a=[1.0, 1.1]),
        dict(a=[1.0, 1.1], b=[None, 9.0]),
    ):
        found = order(group(**methods), 'x', 'a', 'b', 'lower')
        assert found.sign == 0
        assert Claim('topic', 'text', [found]).verdict == OPEN
    assert 'b not run' in order(group(a=[1.0, 1.1]), 'x', 'a', 'b', 'lower').text


@pytest.mark.parametrize(
    'a, b, sign',
    [
        ((1, 1), (5, 5), 1),  # lower in both layers
        ((1, 5), (5, 5), 0),  # lower in one, open in the other
        ((1, 5), (5, 1), -1),  # higher in one
        ((5, 5), (5, 5), 0),
    ],
)
def test_an_order_in_all_parts(a, b, sign):
    def runs(method, means):
        return [
            entry(method, seed, dict(layers=dict(values={}, fc1=means[0] + d, fc2=means[1] + d)))
            for seed, d in enumerate((0.0, 0.1, 0.2))
        ]

    found = order_in_all(
        Group('', runs('a', a) + runs('b', b)),
        lambda e: {k: e.sections['layers'][k] for k in ('fc1', 'fc2')},
        'a',
        'b',
        'lower',
        'data',
        'layers',
    )
    assert found.sign == sign and found.text.startswith('of 2 layers lower in ')


@pytest.mark.parametrize('n, noise, sign', [(8, 0.1, 1), (8, 30.0, 0), (7, 0.1, 0)])
def test_rank_correlations_are_scipys(n, noise, sign):
    x = torch.arange(n, dtype=torch.float64)
    y = x + noise * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for direction in (1, -1):
        runs = [entry('a', i, x=float(a), error=float(direction * b)) for i, (a, b) in enumerate(zip(x, y))]
        found, expected = rank_correlation(Group('', runs), 'x', 'error'), stats.spearmanr(x, direction * y)
        assert found.sign == direction * sign
        assert found.text.startswith(f'rho = {expected.statistic:.2f}, p = {expected.pvalue:.2g}, n = {n}')


def test_a_rank_correlation_that_is_none():
    found = rank_correlation(Group('', [entry('a', i, x=1.0, error=float(i)) for i in range(9)]), 'x', 'error')
    assert found.sign == 0 and found.text.startswith('undefined: ')


def test_claims_for_all_cases():
    signs = [for_all('', held, cases, 'cases').sign for held, cases in ((5, 5), (4, 5), (0, 5), (0, 0))]
    assert signs == [1, -1, -1, 0]


def test_a_share_that_rises():
    assert [
        rises(pairs, '', 'share').sign
        for pairs in ([(0.1, 0.2), (0.0, 0.5)], [(0.1, 0.2), (0.5, 0.5)], [(0.2, 0.1), (0.5, 0.5)], [])
    ] == [1, 0, -1, 0]


@pytest.mark.parametrize('power, spread, sign', [(1, 0.01, 1), (2, 0.01, -1), (1.5, 0.01, -1), (1.5, 5.0, 0)])
def test_slopes_are_scipys(power, spread, sign):
    x = torch.linspace(1, 3, 12, dtype=torch.float64)
    y = x**power * (spread * torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).exp()
    found, expected = slope(list(zip(x.tolist(), y.tolist())), 1, 2, '', 'y over x'), stats.linregress(x.log(), y.log())
    assert found.sign == sign and f'slope {expected.slope:.2f} ± {stats.t.ppf(0.975, 10) * expected.stderr:.2f}' in (
        found.text
    )
    assert slope([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], 1, 2, '', '').sign == 0
