"""Hyper-parameters by search: values of a config that Hyperopt's TPE chooses, trial after trial.

A config describes its search under `search`, in plain data:

    search = dict(
        space={'optim_wrapper.optimizer.lr': dict(type='loguniform', low=0.01, high=0.3)},
        metric='top1',
        mode='max',
        options={'train_dataloader.dataset.per_class': (0, 400), ...})

`space` has a distribution for each dotted key: uniform, loguniform (low, high), quniform (low, high, q), randint (low,
high) or choice (options). `options` are overrides for all trials: those that judge by a part of the training data, for
a search that looks at the test data finds what fits the test data.
"""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, space_eval, tpe
from hyperopt.base import Domain, miscs_to_idxs_vals

from a2sg_zoo.errors import ConfigError, DataError

_KINDS = dict(
    uniform=lambda key, low, high: hp.uniform(key, low, high),
    loguniform=lambda key, low, high: hp.loguniform(key, math.log(low), math.log(high)),
    quniform=lambda key, low, high, q: hp.quniform(key, low, high, q),
    randint=lambda key, low, high: hp.randint(key, low, high),
    choice=lambda key, options: hp.choice(key, options),
)


def space_of(description):
    """Hyperopt's space for {dotted key: dict(type=..., ...)}.

    Raises:
        ConfigError: an unknown type, or wrong bounds; the message says of which key.
    """
    if not description:
        raise ConfigError('search.space is empty; name at least one key of the config')
    space = {}
    for key, entry in description.items():
        entry = dict(entry)
        kind = entry.pop('type', None)
        if kind not in _KINDS:
            raise ConfigError(f'search.space: {key}: type must be one of {", ".join(_KINDS)}, got {kind!r}')
        try:
            space[key] = _KINDS[kind](key, **entry)
        except (TypeError, ValueError) as error:
            raise ConfigError(f'search.space: {key}: {kind}: {error}') from error
        if kind == 'choice' and not entry['options']:
            raise ConfigError(f'search.space: {key}: choice: there are no options')
    return space


class Search:
    """TPE over a space, with a record of trials on disk that a later process goes on from.

    Trials are asked for in groups, `parallel` at a time, so that they can be run together; a group's suggestions do not
    know each other's scores. The choice depends on the space, the seed and the record alone.

    Args:
        space: {dotted key: distribution}, see `space_of`.
        record: file with a line a finished trial; what it holds counts as done.
        mode: 'max' or 'min' of the score.
        seed: of the suggestions.
        random: trials before TPE starts.
    """

    def __init__(self, space, record, mode='max', seed=0, random=4):
        if mode not in ('max', 'min'):
            raise ConfigError(f"search.mode must be 'max' or 'min', got {mode!r}")
        self.space, self.record, self.seed, self.random = space_of(space), Path(record), seed, random
        self.sign = -1 if mode == 'max' else 1
        self.finished = self._read()

    def ask(self, parallel=1):
        """[(number, {dotted key: value})] of the next trials, `parallel` of them."""
        first = len(self.finished)
        trials, domain = Trials(), Domain(lambda values: 0.0, self.space)
        documents = [self._document(trials, domain, entry) for entry in self.finished]
        trials.insert_trial_docs(documents)
        trials.refresh()
        asked = []
        for number in range(first, first + parallel):
            rng = np.random.default_rng((self.seed, number))
            (document,) = tpe.suggest(
                [number], domain, trials, int(rng.integers(2**31 - 1)), n_startup_jobs=self.random
            )
            raw = {key: values[0] for key, values in document['misc']['vals'].items() if values}
            asked.append((number, raw))
        return [(number, _plain(space_eval(self.space, raw))) for number, raw in asked]

    def tell(self, number, values, score, note=''):
        """Notes a trial's score, on disk before this returns; None for a trial that failed."""
        entry = dict(trial=number, values=values, score=score, note=note)
        line = json.dumps(dict(entry, checksum=_checksum(entry)))
        self.record.parent.mkdir(parents=True, exist_ok=True)
        with open(self.record, 'a') as file:
            file.write(line + '\n')
            file.flush()
            os.fsync(file.fileno())
        self.finished.append(entry)

    def best(self):
        """The finished trial with the best score.

        Raises:
            DataError: none has one.
        """
        scored = [entry for entry in self.finished if entry['score'] is not None]
        if not scored:
            raise DataError(f'no trial in {self.record} has a score')
        return min(scored, key=lambda entry: self.sign * entry['score'])

    def _read(self):
        if not self.record.exists():
            return []
        entries, text = [], self.record.read_text()
        lines = text.splitlines()
        for i, line in enumerate(lines):
            try:
                entry = json.loads(line)
                sound = entry.pop('checksum') == _checksum(entry) and entry['trial'] == i
            except (ValueError, KeyError, AttributeError):
                sound = False
            if not sound:
                if i < len(lines) - 1:
                    raise DataError(
                        f'{self.record}, line {i + 1}, was edited or damaged; remove it and those below '
                        'it, and the trials are run again'
                    )
                # a kill cut the last line short
                kept = ''.join(f'{line}\n' for line in lines[:-1])
                self.record.write_text(kept)
                break
            entries.append(entry)
        return entries

    def _document(self, trials, domain, entry):
        """A finished trial as Hyperopt keeps it."""
        number = entry['trial']
        values = _raw(self.space, entry['values'])
        failed = entry['score'] is None
        result = dict(status=STATUS_FAIL) if failed else dict(status=STATUS_OK, loss=self.sign * entry['score'])
        misc = dict(
            tid=number,
            cmd=domain.cmd,
            workdir=None,
            idxs={key: [number] for key in values},
            vals={key: [value] for key, value in values.items()},
        )
        miscs_to_idxs_vals([misc])  # raises where Hyperopt would later
        (document,) = trials.new_trial_docs([number], [domain.new_result()], [result], [misc])
        document['state'] = JOB_STATE_DONE
        return document


def _raw(space, values):
    """Values as Hyperopt counts them: of a choice, the number."""
    raw = {}
    for key, value in values.items():
        node = space[key]
        if node.name == 'switch':
            options = [_plain(arg.obj if hasattr(arg, 'obj') else space_eval(arg, {})) for arg in node.pos_args[1:]]
            raw[key] = options.index(value)
        else:
            raw[key] = value
    return raw


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


def _checksum(entry):
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]
