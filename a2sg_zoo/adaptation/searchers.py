"""Searchers: given an objective over a grid of candidate windows, find a low point."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from a2sg_zoo.registry import SEARCHERS


class Searcher(ABC):
    """Finds a low point of an `Objective`.

    To add one, subclass, give `__call__`, and register it with `@SEARCHERS.register_module()`.
    """

    def __repr__(self):
        return type(self).__name__

    @abstractmethod
    def __call__(self, objective, seed):
        """The index of the chosen candidate, and whether there is one.

        Args:
            objective: an `Objective`; lower is better, inf where a candidate gives no value.
            seed: sequence of ints, for whatever is random in the search.

        Returns:
            (index, found): scalar tensors, integer and boolean, on the objective's device.
        """


@SEARCHERS.register_module()
class ExactSearcher(Searcher):
    """The best candidate of the grid. Deterministic, and nothing leaves the device."""

    def __call__(self, objective, seed):
        value, index = objective.curve().min(0)
        return index, value.isfinite()


@SEARCHERS.register_module()
class TPESearcher(Searcher):
    """Bayesian search: Hyperopt's tree-structured Parzen estimator, as in the paper.

    The space is uniform between the ends of the grid; each trial is evaluated at the nearest candidate. What is tried
    is what `hyperopt.fmin` would try: it is Hyperopt's estimators that choose, without the graph of expressions around
    them that takes three quarters of its time. Of a `MomentObjective` one curve a time step goes to the host, some
    hundred numbers, and nothing else.

    Args:
        trials: evaluations a search.
        startup: how many of them are drawn at random before the estimator takes over. (Hyperopt's own default, 20,
            would make a search of 16 trials a random one.)

    Source: Bergstra et al., NeurIPS 2011.
    """

    def __init__(self, trials=16, startup=6):
        if not (isinstance(trials, int) and trials >= 1):
            raise ValueError(f'TPESearcher: trials must be an integer >= 1, got {trials!r}')
        if not (isinstance(startup, int) and 1 <= startup):
            raise ValueError(f'TPESearcher: startup must be an integer >= 1, got {startup!r}')
        self.trials, self.startup = trials, startup
        self._on_host = WeakIdKeyDictionary()  # grids, of which a policy has but a few

    def __repr__(self):
        return f'TPESearcher(trials={self.trials})'

    def __call__(self, objective, seed):
        if objective.grid not in self._on_host:
            self._on_host[objective.grid] = objective.grid.cpu().numpy()
        grid = self._on_host[objective.grid]
        low, high = grid[0], grid[-1]
        state, seen, tried, losses = np.random.default_rng(seed), {}, [], []
        for trial in range(self.trials):
            generator = np.random.default_rng(state.integers(2**31 - 1))
            beta = (
                generator.uniform(low, high) if trial < self.startup else _suggest(tried, losses, low, high, generator)
            )
            index = int(np.abs(grid - beta).argmin())
            if index not in seen:
                seen[index] = objective.at(index)
            tried.append(beta)
            losses.append(seen[index])
        best = min(seen, key=seen.get)
        device = objective.grid.device
        # filled there: a copy would wait for the device once more
        return tuple(torch.full((), x, device=device) for x in (best, bool(np.isfinite(seen[best]))))


def _suggest(tried, losses, low, high, generator, gamma=0.25, prior_weight=1.0, candidates=24):
    """The next value by TPE, with the constants of `hyperopt.tpe.suggest`: of some draws from the estimated density of
    the better trials, the one that is likeliest there relative to the others' density."""
    from hyperopt import tpe  # takes a second to load, which the other searchers need not pay

    trials = np.arange(len(tried))
    better, worse = (
        tpe.adaptive_parzen_normal(values, prior_weight, (high + low) / 2, high - low)
        for values in tpe.ap_split_trials(trials, tried, trials, losses, gamma)
    )
    draws = tpe.GMM1(*better, low=low, high=high, rng=generator, size=(candidates,))
    score = tpe.GMM1_lpdf(draws, *better, low=low, high=high) - tpe.GMM1_lpdf(draws, *worse, low=low, high=high)
    return draws[score.argmax()]
