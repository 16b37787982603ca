"""Searchers: given an objective over a grid of candidate windows, find a low point."""

from abc import ABC, abstractmethod
from functools import partial

import hyperopt
import numpy as np
import torch

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

    The space is uniform between the ends of the grid; each trial is evaluated at the nearest candidate.

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
        self.trials = trials
        self.suggest = partial(hyperopt.tpe.suggest, n_startup_jobs=startup, verbose=False)

    def __repr__(self):
        return f'TPESearcher(trials={self.trials})'

    def __call__(self, objective, seed):
        grid = objective.grid.cpu().numpy()
        seen = {}

        def evaluate(beta):
            index = int(np.abs(grid - beta).argmin())
            if index not in seen:
                seen[index] = objective.at(index)
            return seen[index]

        hyperopt.fmin(evaluate, hyperopt.hp.uniform('beta', grid[0], grid[-1]), self.suggest, self.trials,
                      rstate=np.random.default_rng(seed), verbose=False, show_progressbar=False)
        best = min(seen, key=seen.get)
        device = objective.grid.device
        return torch.tensor(best, device=device), torch.tensor(bool(np.isfinite(seen[best])), device=device)
