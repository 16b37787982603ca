"""Judges runs at convergence: the gap between training and validation, and whether the ranking stands still.

The accuracy on training images and the loss on validation images come from the hook `TrainingScores`. Results without
them have none of these figures.
"""

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from scipy import stats

from a2sg_zoo.benchmark.reports.statistics import Curve, over_seeds, summarize
from a2sg_zoo.benchmark.suites.checks import is_finite

# training accuracy, in percent, from which on a method counts as converged
CONVERGED = 95.0
# what must be there for a ranking to be judged
_METHODS, _VALIDATIONS = 4, 2
# scores that agree to this many decimals are ties
_DECIMALS = 9

# {key of a row: what it is}; a report has all of them if some result has one
GAP_COLUMNS = dict(
    train_top1='accuracy on training images without augmentation, mean over the seeds',
    train_gap='train_top1 - mean',
    train_gap_low='95 % confidence interval of train_gap (t)',
    train_gap_high='95 % confidence interval of train_gap (t)',
    val_loss='loss on validation images, mean over the seeds',
    ranking_tau="lowest Kendall's tau of a ranking in the last third of training with the final one; one for a table",
    place_change='largest distance of the place in the last third of training to the final place',
)
WIDTH_COLUMNS = dict(
    width_mean='mean width at the end, in units of v_threshold, mean over the seeds',
    width_low='share of widths on the lower end of the search space at the end, mean over the seeds',
    width_high='share of widths on the upper end of the search space at the end, mean over the seeds',
    spatial_on_bound='share of the spatial searches that ended on a bound, mean over the seeds',
    temporal_on_bound='share of the temporal searches that ended on a bound, mean over the seeds',
)
_OF_A_SEARCH = dict(width_mean='mean', width_low='low', width_high='high')

Runs = Mapping[int, Mapping[str, Any]]
"""{seed: result} of a method."""


class Ranking(NamedTuple):
    """How far the methods' ranking in the last third of training is from the final one.

    Attributes:
        iterations: the validations of the last third that all methods have, the final one included.
        tau: lowest Kendall's tau (b) of the ranking at one of them with the final ranking, between -1 and 1; None if
            all methods have one score.
        changes: {method: largest distance of its place at one of them to its final place}.
    """

    iterations: list[float]
    tau: float | None
    changes: dict[str, int]


def gap_figures(runs: Runs, metric: str) -> dict[str, float | None]:
    """Return the figures of a method at the end of training; None where not every run has them.

    Args:
        runs: the method's runs.
        metric: metric of the table. The gap is only defined for top1 and best_top1.

    Returns:
        The keys of `GAP_COLUMNS` but for those of the ranking.
    """
    found = [run['metrics'] for run in runs.values()]
    gaps = []
    if metric in ('top1', 'best_top1') and _all_have(found, 'train_top1'):
        gaps = [metrics['train_top1'] - metrics[metric] for metrics in found]
    summary = summarize(gaps)
    return dict(
        train_top1=_mean(found, 'train_top1'),
        train_gap=summary.mean,
        train_gap_low=summary.low,
        train_gap_high=summary.high,
        val_loss=_mean(found, 'val_loss'),
    )


def width_figures(runs: Runs) -> dict[str, float | None]:
    """Return where the widths of a method ended: the keys of `WIDTH_COLUMNS`, None where not every run has them."""
    found = [run.get('search') or {} for run in runs.values()]
    return {key: _mean(found, _OF_A_SEARCH.get(key, key)) for key in WIDTH_COLUMNS}


def _mean(found: list[Mapping[str, Any]], key: str) -> float | None:
    return statistics.fmean(x[key] for x in found) if _all_have(found, key) else None


def _all_have(found: list[Mapping[str, Any]], key: str) -> bool:
    return bool(found) and all(is_finite(x.get(key)) for x in found)


def curve_metric(results: Mapping[str, Runs]) -> str:
    """Return the name of the metric of the runs' curves, the first that their validations give.

    Args:
        results: {method: its runs}.

    >>> curve_metric({'tri': {0: {'metrics': {'top1': 80.0, 'top5': 95.0, 'best_top1': 81.0}}}})
    'top1'
    """
    names = (name for runs in results.values() for run in runs.values() for name in run['metrics'])
    return next((name.removeprefix('best_') for name in names if name.startswith('best_')), 'metric')


def learning_curves(results: Mapping[str, Runs]) -> dict[str, Curve]:
    """Return the metric over training of each method over its seeds; methods without a curve are left out.

    Args:
        results: {method: its runs}.
    """
    curves = {
        method: over_seeds([run['curves'].get('metric') or [] for run in runs.values()])
        for method, runs in results.items()
    }
    return {method: curve for method, curve in curves.items() if curve}


def ranking(curves: Mapping[str, Curve]) -> Ranking | None:
    """Compare the methods' ranking in the last third of training with the final one.

    The ranking at a validation is that of the means over seeds. Methods of equal means share the better place.

    Args:
        curves: {method: its curve}, from `learning_curves`.

    Returns:
        None for fewer than 4 methods, or fewer than 2 validations in the last third that all methods have.

    >>> curves = {m: [(20, x, x, x), (30, y, y, y)] for m, x, y in [('a', 1, 4), ('b', 2, 2), ('c', 3, 3), ('d', 4, 1)]}
    >>> ranking(curves).changes
    {'a': 3, 'b': 0, 'c': 0, 'd': 3}
    """
    means = {method: {x: round(mean, _DECIMALS) for x, mean, *_ in curve} for method, curve in curves.items()}
    common = sorted(set.intersection(*map(set, means.values()))) if means else []
    iterations = [x for x in common if 3 * x >= 2 * common[-1]]
    if len(means) < _METHODS or len(iterations) < _VALIDATIONS:
        return None
    scores = [[mean[x] for mean in means.values()] for x in iterations]
    places = [stats.rankdata([-score for score in row], 'min').astype(int).tolist() for row in scores]
    taus = [tau for row in scores[:-1] if is_finite(tau := float(stats.kendalltau(row, scores[-1]).statistic))]
    changes = [max(abs(place - end) for place in method) for *method, end in zip(*places)]
    return Ranking(iterations, min(taus, default=None), dict(zip(means, changes)))
