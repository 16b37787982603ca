"""Search for hyper-parameters: Optuna's TPE chooses values of a config, trial after trial.

A config describes its search under `search`, in plain data:

    search = dict(
        space={'optim_wrapper.optimizer.lr': dict(type='loguniform', low=0.01, high=0.3)},
        metric='top1',
        mode='max',
        options={'train_dataloader.dataset.per_class': (0, 400), ...})

`space` has a distribution for each dotted key:

    dict(type='uniform', low=, high=)           a real number in [low, high]
    dict(type='loguniform', low=, high=)        the same, uniform in its logarithm; low > 0
    dict(type='quniform', low=, high=, q=)      low, low + q, low + 2 q, ... up to high
    dict(type='randint', low=, high=)           an integer in [low, high)
    dict(type='choice', options=[...])          one of the options

`options` are overrides for all trials. They should let a part of the training data judge: a search that looks at the
test data finds what fits the test data.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from a2sg_zoo.errors import ConfigError, DataError

Trial = dict[str, Any]
"""A finished trial: trial (its number), values {dotted key: value}, score or None if it failed, and note."""


def _quniform(low: float, high: float, q: float) -> FloatDistribution:
    # the step must divide the range
    return FloatDistribution(low, low + math.floor((high - low) / q + 1e-9) * q, step=q)


# {type: function of the entry's other keys}. A choice is searched by the number of its option, which may be any data.
_KINDS: dict[str, Callable[..., BaseDistribution]] = dict(
    uniform=lambda low, high: FloatDistribution(low, high),
    loguniform=lambda low, high: FloatDistribution(low, high, log=True),
    quniform=_quniform,
    randint=lambda low, high: IntDistribution(low, high - 1),
    choice=lambda options: CategoricalDistribution(range(len(options))),
)


def read_space(description: Mapping[str, Mapping[str, Any]] | None) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of a search space.

    Args:
        description: {dotted key: dict(type=..., ...)}, see the module's documentation.

    Raises:
        ConfigError: an unknown type, or wrong bounds. The message names the key.

    >>> read_space({'lr': dict(type='uniform', low=0, high=1)})
    {'lr': FloatDistribution(high=1.0, log=False, low=0.0, step=None)}
    """
    if not description or not isinstance(description, Mapping):
        raise ConfigError('search.space is empty; name at least one key of the config')
    space = {}
    for key, entry in description.items():
        arguments = dict(entry) if isinstance(entry, Mapping) else {}
        kind = arguments.pop('type', None)
        if kind not in _KINDS:
            raise ConfigError(f'search.space: {key}: type must be one of {", ".join(_KINDS)}, got {kind!r}')
        try:
            space[key] = _KINDS[kind](**arguments)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f'search.space: {key}: {kind}: {error}') from error
    return space


class Search:
    """Optuna's TPE over a space, with a record of trials on disk that a later process continues.

    Trials can be asked for in groups that run together. The suggestions of a group do not depend on each other. What is
    suggested depends on the space, the seed, and the record alone.

    Args:
        space: {dotted key: distribution}, see the module's documentation.
        record: file with one line for each finished trial. Trials in it count as finished.
        mode: 'max' or 'min' of the score.
        seed: seed of the suggestions.
        random: number of trials with random values, before TPE begins.

    Attributes:
        finished: finished trials, in the order of their numbers.
        description: the space as JSON keeps it.

    Raises:
        ConfigError: the space or the mode has a mistake.
        DataError: the record was edited, or has values outside the space.
    """

    def __init__(
        self,
        space: Mapping[str, Mapping[str, Any]],
        record: str | os.PathLike,
        mode: str = 'max',
        seed: int = 0,
        random: int = 4,
    ) -> None:
        if mode not in ('max', 'min'):
            raise ConfigError(f"search.mode must be 'max' or 'min', got {mode!r}")
        self.space, self.record, self.mode, self.seed, self.random = read_space(space), Path(record), mode, seed, random
        self.description = _plain(space)
        self._options = {key: entry['options'] for key, entry in self.description.items() if entry['type'] == 'choice'}
        self.finished = self._read()
        self._trials = [self._optuna_trial(trial) for trial in self.finished]

    def ask(self, parallel: int = 1) -> list[tuple[int, dict[str, Any]]]:
        """Suggest the next trials.

        Args:
            parallel: how many.

        Returns:
            (number of the trial, {dotted key: value}) of each.
        """
        first = len(self.finished)
        return [(number, self._suggest(number)) for number in range(first, first + parallel)]

    def tell(self, number: int, values: Mapping[str, Any], score: float | None, note: str = '') -> None:
        """Record a trial, on disk before this returns.

        Args:
            number: its number, from `ask`.
            values: its values, from `ask`.
            score: its score. The trial counts as failed if it is None or not finite.
            note: why it failed.
        """
        if score is not None and not math.isfinite(score):
            score, note = None, note or f'the score is {score}'
        trial = dict(trial=number, values=_plain(values), score=score, note=note)
        converted = self._optuna_trial(trial)
        line = json.dumps(dict(trial, checksum=_checksum(trial)))
        self.record.parent.mkdir(parents=True, exist_ok=True)
        with open(self.record, 'a') as file:
            file.write(line + '\n')
            file.flush()
            os.fsync(file.fileno())
        self.finished.append(trial)
        self._trials.append(converted)

    def best(self, trials: int | None = None) -> Trial:
        """Return the trial with the best score.

        Args:
            trials: number of trials to look at, the first ones; by default all.

        Raises:
            DataError: none of them has a score.
        """
        scored = [trial for trial in self.finished[:trials] if trial['score'] is not None]
        if not scored:
            raise DataError(f'no trial in {self.record} has a score')
        return (max if self.mode == 'max' else min)(scored, key=lambda trial: trial['score'])

    def _suggest(self, number: int) -> dict[str, Any]:
        seed = int(np.random.default_rng((self.seed, number)).integers(2**31 - 1))
        sampler = optuna.samplers.TPESampler(n_startup_trials=self.random, seed=seed)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports every study as new
        try:
            study = optuna.create_study(sampler=sampler, direction='maximize' if self.mode == 'max' else 'minimize')
        finally:
            optuna.logging.set_verbosity(before)
        study.add_trials(self._trials)
        suggested = study.ask(self.space).params
        return {key: self._options[key][x] if key in self._options else x for key, x in suggested.items()}

    def _optuna_trial(self, trial: Trial) -> optuna.trial.FrozenTrial:
        try:
            params = {
                key: self._options[key].index(value) if key in self._options else value
                for key, value in trial['values'].items()
            }
            state = optuna.trial.TrialState.FAIL if trial['score'] is None else optuna.trial.TrialState.COMPLETE
            return optuna.trial.create_trial(params=params, distributions=self.space, value=trial['score'], state=state)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f'{self.record}: trial {trial["trial"]} does not belong to this search.space ({error}); name another '
                'folder with --out'
            ) from error

    def _read(self) -> list[Trial]:
        if not self.record.exists():
            return []
        trials = []
        text = self.record.read_text(errors='replace')
        lines = text.splitlines()
        for i, line in enumerate(lines):
            try:
                trial = json.loads(line)
                is_sound = trial.pop('checksum') == _checksum(trial) and trial['trial'] == i
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                is_sound = False
            if not is_sound:
                if i < len(lines) - 1:
                    raise DataError(
                        f'{self.record}, line {i + 1}, was edited or damaged; remove it and all lines below it, and '
                        'their trials are run again'
                    )
                # a kill cut the last line short
                self.record.write_text(''.join(f'{line}\n' for line in lines[:-1]))
                break
            trials.append(trial)
        return trials


def _plain(value: Any) -> Any:
    """A value as JSON keeps it: lists in place of tuples, and Python's numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


def _checksum(trial: Trial) -> str:
    return hashlib.sha256(json.dumps(trial, sort_keys=True).encode()).hexdigest()[:16]
