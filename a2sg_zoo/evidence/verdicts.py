"""Rules that turn measured numbers into verdicts on claims: nobody writes by hand that a claim held.

- Of two methods on one data set, a claimed order counts as supported or contradicted if the 95 % confidence interval of
  the difference of means (Welch's t, over seeds) leaves out 0, and as open otherwise.
- A claimed rank correlation counts as supported or contradicted if p < 0.05 (two-sided) over at least
  `compare.LEAST_RUNS` runs.
- Over the data sets a claim 'held' if it is supported on all, 'held in part' if on some and contradicted on none, 'did
  not hold' if it is contradicted on some and supported on none, is 'mixed' if both occur, and 'undecided' otherwise.
- A claim for all cases (a theorem) held if no case is against it, and did not hold if one is. So it is with a claimed
  order in all of some parts, as layers: supported if it is in each, contradicted if the opposite is so in one.
"""

import math
import statistics
from dataclasses import dataclass

from scipy import stats

from a2sg_zoo.analysis.compare import LEAST_RUNS, cell_of, spearman

HELD, PART, MIXED, FAILED, OPEN = 'held', 'held in part', 'mixed', 'did not hold', 'undecided'
_WORDS = {1: 'supported', -1: 'contradicted', 0: 'open'}


@dataclass(frozen=True)
class Evidence:
    """What one data set, or one set of cases, says of a claim.

    Attributes:
        where: which.
        sign: 1 supports, -1 contradicts, 0 leaves it open.
        text: the numbers, in words.
    """

    where: str
    sign: int
    text: str

    @property
    def word(self):
        return _WORDS[self.sign]


@dataclass(frozen=True)
class Claim:
    """A claim with its evidence.

    Attributes:
        topic: which part of the argument it belongs to.
        text: the claim.
        evidence: [Evidence].
    """

    topic: str
    text: str
    evidence: list

    @property
    def verdict(self):
        signs = {evidence.sign for evidence in self.evidence}
        if signs == {1}:
            return HELD
        if 1 in signs:
            return MIXED if -1 in signs else PART
        return FAILED if -1 in signs else OPEN


@dataclass(frozen=True)
class Difference:
    """mean(a) - mean(b) with its 95 % interval; all None with `why` where there is none."""

    value: float | None
    low: float | None
    high: float | None
    why: str = ''


def welch(a, b):
    """The `Difference` of two samples that may vary differently: Welch's t interval."""
    if min(len(a), len(b)) < 2:
        return Difference(None, None, None, f'{len(a)} and {len(b)} runs: there is no interval')
    value = statistics.fmean(a) - statistics.fmean(b)
    errors = [statistics.variance(x) / len(x) for x in (a, b)]
    if not sum(errors):
        return Difference(value, value, value)
    freedom = sum(errors) ** 2 / sum(e * e / (len(x) - 1) for e, x in zip(errors, (a, b)))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(sum(errors))
    return Difference(value, value - half, value + half)


def order(group, measure, a, b, wanted, where=None):
    """Evidence that method `a` has a 'lower' or 'higher' (`wanted`) value than `b`."""
    where = where or group.title
    entries = [group.methods.get(method, []) for method in (a, b)]
    values = [[e.values[measure] for e in of if e.values.get(measure) is not None] for of in entries]
    cells = [cell_of(of, measure) if of else None for of in entries]
    numbers = ', '.join(f'{method} {cell if cell else "not run"}' for method, cell in zip((a, b), cells))
    found = welch(*values)
    if found.value is None:
        return Evidence(where, 0, f'{numbers}; {found.why}')
    return Evidence(
        where,
        _sign(found, wanted),
        f'{numbers}; difference {_number(found.value)} [{_number(found.low)}, {_number(found.high)}]',
    )


def _sign(found, wanted):
    if found.value is None or found.low <= 0 <= found.high:
        return 0
    return 1 if (found.value > 0) == (wanted == 'higher') else -1


def order_in_all(group, read, a, b, wanted, where, parts):
    """Evidence that method `a` has a 'lower' or 'higher' value than `b` in every part, as a layer.

    Args:
        read: called as read(entry); gives {part: value}.
        parts: what they are, in the plural.
    """
    values = [[read(entry) for entry in group.methods.get(method, [])] for method in (a, b)]
    if not all(values):
        return Evidence(where, 0, f'{a} or {b} was not run')
    signs = [_sign(welch(*([x[part] for x in of] for of in values)), wanted) for part in values[0][0]]
    sign = 1 if signs and set(signs) == {1} else -1 if -1 in signs else 0
    opposite = dict(lower='higher', higher='lower')[wanted]
    return Evidence(
        where,
        sign,
        f'of {len(signs)} {parts} {wanted} in {signs.count(1)}, {opposite} in '
        f'{signs.count(-1)}, open in {signs.count(0)}',
    )


def rises(pairs, where, text):
    """Evidence that a share grows from the beginning to the end of a run: supported if it does in every run,
    contradicted if in none.

    Args:
        pairs: [(share at the beginning, share at the end)], a pair a run.
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


def rank_correlation(group, measure, against, where=None):
    """Evidence that two measures grow together over the runs of a group."""
    found = spearman(group, measure, against)
    where = where or group.title
    if found['rho'] is None:
        return Evidence(where, 0, f'undefined: {found["why"]}')
    text = f'rho = {found["rho"]:.2f}, p = {found["p"]:.2g}, n = {found["n"]}'
    if found['n'] < LEAST_RUNS:
        return Evidence(where, 0, f'{text}; {found["why"]}')
    return Evidence(where, 0 if found['p'] >= 0.05 else 1 if found['rho'] > 0 else -1, text)


def for_all(where, held, cases, text):
    """Evidence on a claim for all cases, which held in `held` of them."""
    if not cases:
        return Evidence(where, 0, f'no case: {text}')
    return Evidence(where, 1 if held == cases else -1, f'{text}: {held:,} of {cases:,}')


def slope(pairs, wanted, rival, where, text):
    """Evidence that y grows as x^wanted: supported if the 95 % interval of the least-squares slope in log-log has
    `wanted` in it, contradicted if not, and open if it has `rival` in it, too.

    Args:
        pairs: [(x, y)], positive.
    """
    if len(pairs) < 4 or len({x for x, _ in pairs}) < 3:
        return Evidence(where, 0, f'{len(pairs)} points are too few for a slope')
    found = stats.linregress(*([math.log(v) for v in column] for column in zip(*pairs)))
    half = float(stats.t.ppf(0.975, len(pairs) - 2)) * found.stderr
    sign = -1 if abs(found.slope - wanted) > half else 0 if abs(found.slope - rival) <= half else 1
    return Evidence(where, sign, f'{text}: slope {found.slope:.2f} ± {half:.2f} (95 %), {len(pairs)} points')


def _number(x):
    return f'{x:+.3g}'
