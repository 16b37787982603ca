"""Searchers: given an objective over a grid of candidate widths, find a low point."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from a2sg_zoo.adaptation.objectives import Objective
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import SEARCHERS
from a2sg_zoo.utils.checks import integer

# copies on the host, of a few grids for each policy; a searcher is pickled and copied without them
_on_host: WeakIdKeyDictionary = WeakIdKeyDictionary()


class Searcher(ABC):
    """Finds a low point of an `Objective`.

    To add one, subclass, give `__call__`, and register it with `@SEARCHERS.register_module()`.
    """

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def __call__(self, objective: Objective, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The index of the chosen candidate, and whether there is one.

        Args:
            objective: lower is better, inf where a candidate gives no value.
            seed: integers >= 0 that seed the random numbers of this search.

        Returns:
            (index, found): scalar tensors, integer and boolean, on the objective's device.
        """


@SEARCHERS.register_module()
class ExactSearcher(Searcher):
    """The best candidate of the grid. It is deterministic, and nothing leaves the device."""

    def __call__(self, objective: Objective, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
        value, index = objective.curve().min(0)
        return index, value.isfinite()


@SEARCHERS.register_module()
class TPESearcher(Searcher):
    """Bayesian search: Hyperopt's tree-structured Parzen estimator, as in the paper.

    The space is uniform from the first to the last candidate that is allowed, and each trial is evaluated at the
    nearest candidate. The searcher tries the same candidates as `hyperopt.fmin`, because Hyperopt's estimators choose
    them. It leaves out Hyperopt's graph of expressions, which takes three quarters of the time of `fmin`. For a
    `MomentObjective`, one curve a time step goes to the host (about a hundred numbers), and under a `trust` which of
    the candidates are allowed.

    Hyperopt is imported when a searcher is made.

    Args:
        trials: evaluations a search.
        startup: number of trials that are drawn at random before the estimator takes over. (Hyperopt's own default, 20,
            would make a search of 16 trials a random one.)

    Raises:
        ConfigError: trials or startup is no integer of at least 1, or Hyperopt is not installed.

    Source: Bergstra et al., NeurIPS 2011.
    """

    def __init__(self, trials: int = 16, startup: int = 6) -> None:
        self.trials, self.startup = integer('trials', trials, self), integer('startup', startup, self)
        _estimators()

    def __repr__(self) -> str:
        return f'TPESearcher(trials={self.trials})'

    def __call__(self, objective: Objective, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
        if objective.grid not in _on_host:
            _on_host[objective.grid] = objective.grid.cpu().numpy()
        grid = _on_host[objective.grid]
        low, high = grid[0], grid[-1]
        if objective.allowed is not None:
            allowed = objective.allowed.cpu().numpy()
            low, high = grid[allowed.argmax()], grid[::-1][allowed[::-1].argmax()]
        state, seen, tried, losses = np.random.default_rng(seed), {}, [], []
        for trial in range(self.trials if low < high else 1):
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
        # filled on the device, because a copy would wait for it once more
        found = bool(np.isfinite(seen[best]))
        return torch.full((), best, device=device), torch.full((), found, device=device)


def _estimators():
    try:
        from hyperopt import tpe
    except ImportError as error:
        raise ConfigError(
            "TPESearcher needs the package Hyperopt: pip install hyperopt, or take searcher=dict(type='ExactSearcher')"
        ) from error
    return tpe


def _suggest(tried, losses, low, high, generator, gamma=0.25, prior_weight=1.0, candidates=24):
    """The next value by TPE, with the constants of `hyperopt.tpe.suggest`.

    It draws from the estimated density of the better trials, and takes the draw with the highest ratio of this density
    to that of the worse trials.
    """
    tpe = _estimators()
    trials = np.arange(len(tried))
    better, worse = (
        tpe.adaptive_parzen_normal(values, prior_weight, (high + low) / 2, high - low)
        for values in tpe.ap_split_trials(trials, tried, trials, losses, gamma)
    )
    draws = tpe.GMM1(*better, low=low, high=high, rng=generator, size=(candidates,))
    score = tpe.GMM1_lpdf(draws, *better, low=low, high=high) - tpe.GMM1_lpdf(draws, *worse, low=low, high=high)
    return draws[score.argmax()]
