"""Rules that turn measured numbers into verdicts on claims, so that nobody writes by hand that a claim held.

What one data set says of a claim is its evidence, which supports the claim, contradicts it, or leaves it open:

- An order of two methods is decided if the 95 % confidence interval of the difference of their means (Welch's t, over
  seeds) does not contain 0.
- An order of two methods in all layers is supported if it is decided so in each layer, and contradicted if the opposite
  is decided in one.
- A rank correlation is decided if p < 0.05 (two-sided) over at least `compare.LEAST_RUNS` runs.
- A claim about all cases, such as a theorem, is supported if no case is against it, and contradicted if one is.

Over all data sets, a claim

- 'held' if all support it,
- 'held in part' if some support it and none contradicts it,
- is 'mixed' if some support it and some contradict it,
- 'did not hold' if some contradict it and none supports it,
- is 'undecided' otherwise.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from a2sg_zoo.analysis.compare import LEAST_RUNS, Entry, Group, cell_of, spearman

HELD, PART, MIXED, FAILED, OPEN = 'held', 'held in part', 'mixed', 'did not hold', 'undecided'
_WORDS = {1: 'supported', -1: 'contradicted', 0: 'open'}


@dataclass(frozen=True)
class Evidence:
    """What one data set, or one set of cases, says of a claim.

    Attributes:
        where: the data set, or what the cases are.
        sign: 1 supports the claim, -1 contradicts it, 0 leaves it open.
        text: the numbers, in words.
    """

    where: str
    sign: int
    text: str

    @property
    def word(self) -> str:
        """The sign as a word: 'supported', 'contradicted' or 'open'."""
        return _WORDS[self.sign]


@dataclass(frozen=True)
class Claim:
    """A claim with its evidence.

    Attributes:
        topic: part of the argument that it belongs to, a key of `paper.TOPICS`.
        text: the claim.
        evidence: what each data set says of it.

    >>> Claim('topic', 'text', [Evidence('digits', 1, ''), Evidence('CIFAR-10 images', 0, '')]).verdict
    'held in part'
    """

    topic: str
    text: str
    evidence: list[Evidence]

    @property
    def verdict(self) -> str:
        """The verdict over all evidence; see the module's documentation."""
        signs = {evidence.sign for evidence in self.evidence}
        if signs == {1}:
            return HELD
        if 1 in signs:
            return MIXED if -1 in signs else PART
        return FAILED if -1 in signs else OPEN


@dataclass(frozen=True)
class Difference:
    """The difference of two means with its 95 % interval. All are None, with the reason in `why`, if there is none."""

    value: float | None
    low: float | None
    high: float | None
    why: str = ''


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compute mean(a) - mean(b) and its 95 % interval by Welch's t, for samples with different variances.

    Values without a spread have no interval: the measure is too coarse, which does not make the means exact.

    >>> welch([1.0, 1.0], [2.0, 2.0]).why
    'all values of each are alike: there is no interval'
    """
    if min(len(a), len(b)) < 2:
        return Difference(None, None, None, f'{len(a)} and {len(b)} runs: there is no interval')
    if len(set(a)) == len(set(b)) == 1:
        return Difference(None, None, None, 'all values of each are alike: there is no interval')
    value = statistics.fmean(a) - statistics.fmean(b)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return Difference(value, float(interval.low), float(interval.high))


def order(group: Group, measure: str, a: str, b: str, wanted: str, where: str | None = None) -> Evidence:
    """Judge the claim that method `a` has a lower or higher value of a measure than method `b`.

    Args:
        group: the runs of both.
        measure: key of the entries' values.
        a: name of a method.
        b: name of the method that it is compared with.
        wanted: 'lower' or 'higher'.
        where: name of the data set, by default the group's title.
    """
    where = where or group.title
    entries = [group.methods.get(method, []) for method in (a, b)]
    values = [[e.values[measure] for e in runs if e.values.get(measure) is not None] for runs in entries]
    cells = [cell_of(runs, measure) if runs else None for runs in entries]
    numbers = ', '.join(f'{method} {cell if cell else "not run"}' for method, cell in zip((a, b), cells))
    found = welch(*values)
    if found.value is None:
        return Evidence(where, 0, f'{numbers}; {found.why}')
    return Evidence(
        where,
        _sign(found, wanted),
        f'{numbers}; difference {_number(found.value)} [{_number(found.low)}, {_number(found.high)}]',
    )


def _sign(found: Difference, wanted: str) -> int:
    if found.value is None or found.low <= 0 <= found.high:
        return 0
    return 1 if (found.value > 0) == (wanted == 'higher') else -1


def order_in_all(
    group: Group, read: Callable[[Entry], Mapping[str, float]], a: str, b: str, wanted: str, where: str, parts: str
) -> Evidence:
    """Judge the claim that method `a` has a lower or higher value than method `b` in every part, such as a layer.

    Args:
        group: the runs of both.
        read: function entry -> {part: value}.
        a: name of a method.
        b: name of the method that it is compared with.
        wanted: 'lower' or 'higher'.
        where: name of the data set.
        parts: what the parts are, in the plural.
    """
    values = [[read(entry) for entry in group.methods.get(method, [])] for method in (a, b)]
    if not all(values):
        return Evidence(where, 0, f'{a} or {b} was not run')
    signs = [_sign(welch(*([x[part] for x in runs] for runs in values)), wanted) for part in values[0][0]]
    sign = 1 if signs and set(signs) == {1} else -1 if -1 in signs else 0
    opposite = dict(lower='higher', higher='lower')[wanted]
    return Evidence(
        where,
        sign,
        f'of {len(signs)} {parts} {wanted} in {signs.count(1)}, {opposite} in '
        f'{signs.count(-1)}, open in {signs.count(0)}',
    )


def rises(pairs: Sequence[tuple[float, float]], where: str, text: str) -> Evidence:
    """Judge the claim that a share grows during training: supported if it does in every run, contradicted if in none.

    Args:
        pairs: (share at the beginning, share at the end) of each run.
        where: name of the data set.
        text: what the share is.
    """
    if not pairs:
        return Evidence(where, 0, f'no run: {text}')
    rose = sum(last > first for first, last in pairs)
    first, last = (statistics.fmean(column) for column in zip(*pairs))
    return Evidence(
        where,
        1 if rose == len(pairs) else 0 if rose else -1,
        f'{text}: {first:.1%} at the beginning, {last:.1%} at the end, mean of {len(pairs)} runs',
    )


def rank_correlation(group: Group, measure: str, against: str, where: str | None = None) -> Evidence:
    """Judge the claim that two measures grow together over the runs of a group, by Spearman's rank correlation.

    Args:
        group: the runs.
        measure: one measure.
        against: the other measure.
        where: name of the data set, by default the group's title.
    """
    found = spearman(group, measure, against)
    where = where or group.title
    if found['rho'] is None:
        return Evidence(where, 0, f'undefined: {found["why"]}')
    text = f'rho = {found["rho"]:.2f}, p = {found["p"]:.2g}, n = {found["n"]}'
    if found['n'] < LEAST_RUNS:
        return Evidence(where, 0, f'{text}; {found["why"]}')
    return Evidence(where, 0 if found['p'] >= 0.05 else 1 if found['rho'] > 0 else -1, text)


def for_all(where: str, held: int, cases: int, text: str) -> Evidence:
    """Judge a claim about all cases.

    Args:
        where: what the cases are.
        held: number of cases in which it holds.
        cases: number of cases.
        text: what holds.
    """
    if not cases:
        return Evidence(where, 0, f'no case: {text}')
    return Evidence(where, 1 if held == cases else -1, f'{text}: {held:,} of {cases:,}')


def slope(pairs: Sequence[tuple[float, float]], wanted: float, other: float, where: str, text: str) -> Evidence:
    """Judge the claim that y grows as x^wanted, by the least-squares slope of log y over log x.

    The claim is supported if the 95 % interval of the slope contains `wanted`, and contradicted if it does not. It is
    open if the interval contains `other`, too.

    Args:
        pairs: (x, y), both positive.
        wanted: claimed exponent.
        other: exponent that the data should exclude.
        where: name of the data set.
        text: what x and y are.
    """
    if len(pairs) < 4 or len({x for x, _ in pairs}) < 3:
        return Evidence(where, 0, f'{len(pairs)} points are too few for a slope')
    found = stats.linregress(*([math.log(v) for v in column] for column in zip(*pairs)))
    half = float(stats.t.ppf(0.975, len(pairs) - 2)) * found.stderr
    sign = -1 if abs(found.slope - wanted) > half else 0 if abs(found.slope - other) <= half else 1
    return Evidence(where, sign, f'{text}: slope {found.slope:.2f} ± {half:.2f} (95 %), {len(pairs)} points')


def _number(x: float) -> str:
    return f'{x:+.3g}'
