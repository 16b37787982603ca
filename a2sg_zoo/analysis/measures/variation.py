"""Variation of local gradients and consistency over time: on a data set after training, and over a training run."""

import json
import math
from pathlib import Path

import torch

from a2sg_zoo.analysis.measures.moments import ROUNDING, Moments
from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.neurons import named_neurons, recorded_gradients
from a2sg_zoo.surrogates import ASY, BOX, TRI

_SHAPES = {'cv_asy': ASY(), 'cv_tri': TRI(), 'cv_box': BOX()}


def measure(objective):
    """What the neurons of a network see on a data set, for each layer and time step.

    delta[t] = dL/du[t] for the mean loss of a batch as large as the first; every statistic runs over all elements of
    the layer and all samples. SGV has delta's unit, and so depends on that batch size as it does in training.

    Args:
        objective: an `Objective`.

    Returns:
        {(layer, t): statistics}, t from 1, in the network's order:
            mean, std: of the membrane potential u; std is 0 where it is no more than rounding, below a millionth of u.
            v_threshold, beta: of the neuron.
            rate: share of elements that fire.
            in_window: share of elements within the window |u - v_threshold| <= beta.
            sgv, cv: Var(delta) / Mean(|delta|), Std(delta) / Mean(|delta|); None where no gradient arrives.
            tgc: cos(delta[t], delta[t + 1]); None at the last step, and where either is 0.
            cv_asy, cv_tri, cv_box: CV over the window of ASY with h = 1/2, TRI and BOX on the potentials as they are,
                where `a2sg_zoo.analysis.measures.theory` has a Gaussian; None for an empty window.

    Raises:
        A2SGError: the network has no spiking neurons with a window.
    """
    neurons = named_neurons(objective.model)
    if not neurons:
        raise A2SGError(f'{type(objective.model).__name__} has no spiking neurons with a window to look at')
    sums, first = {}, None
    with recorded_gradients(
        objective.model, lambda layer, u, delta: _add(sums, layer, neurons[layer], u, delta * scale)
    ):
        for inputs, targets, _ in objective.weighted_batches():
            first = first or len(targets)
            scale = len(targets) / first
            torch.autograd.grad(objective.batch_loss(inputs, targets), objective.parameters, allow_unused=True)
    return {key: sums[key].statistics() for layer in neurons for key in sorted(key for key in sums if key[0] == layer)}


class _Sums:
    """What is summed over the batches, of one layer and time step."""

    def __init__(self, v_threshold, beta):
        self.v_threshold, self.beta = v_threshold, beta
        self.u, self.delta, self.shapes = Moments(), Moments(), {name: Moments() for name in _SHAPES}
        self.spikes = self.size = self.square = self.along = self.square_after = 0

    def add(self, u, delta, after):
        """u, delta = dL/du, and that of the next time step or None."""
        z = u - self.v_threshold
        inside = z[z.abs() <= self.beta]
        self.u.add(u)
        self.delta.add(delta)
        for name, shape in _SHAPES.items():
            self.shapes[name].add(shape(inside, self.beta))
        self.spikes += int((z >= 0).sum())
        self.size += _sum(delta.abs())
        self.square += _sum(delta, delta)
        if after is not None:
            self.along += _sum(delta, after)
            self.square_after += _sum(after, after)

    def statistics(self):
        n, mean, size = self.u.n, self.u.mean, self.size / self.u.n
        spread = self.delta.std(size)
        norms = (self.square * self.square_after) ** 0.5
        inside = self.shapes['cv_tri'].n
        found = dict(
            mean=mean,
            std=self.u.std(max(abs(mean), self.v_threshold)),
            v_threshold=self.v_threshold,
            beta=self.beta,
            rate=self.spikes / n,
            in_window=inside / n,
            sgv=_ratio(spread * spread, size),
            cv=_ratio(spread, size),
            tgc=_ratio(self.along, norms),
            **{name: _ratio(f.std(abs(f.mean)), f.mean) if inside else None for name, f in self.shapes.items()},
        )
        # what overflowed is undefined, too
        return {key: value if value is None or math.isfinite(value) else None for key, value in found.items()}


def _add(sums, layer, neuron, u, delta):
    T = len(u)
    beta = neuron.beta if neuron.beta.numel() in (1, T) else neuron.beta[-1:]
    for t in range(T):
        key = layer, t + 1
        if key not in sums:
            sums[key] = _Sums(neuron.v_threshold, float(beta[t if beta.numel() > 1 else 0]))
        sums[key].add(u[t], delta[t], delta[t + 1] if t + 1 < T else None)


def _sum(x, y=None):
    return float((x.double() if y is None else x.double() * y).sum())


def _ratio(a, b):
    return a / b if b else None


def read_adaptation_log(path):
    """The records that `AdaptationHook` wrote in a run, in order.

    Args:
        path: `adaptation.jsonl`, or the folder of the run.

    Returns:
        [dict(iter, layers={name: dict(beta, sgv, tgc, cv, rate, u_mean, u_std)}, ...)]; a statistic without a value is
        None, and older logs are without the moments of u. A last line that a kill cut short is left out.

    Raises:
        DataError: there is no log, it is empty, or a line in its middle is damaged.
    """
    path = Path(path)
    path = path / 'adaptation.jsonl' if path.is_dir() else path
    if not path.is_file():
        raise DataError(f'{path} does not exist: the run had no AdaptationHook, or has not reached its log_interval')
    lines, records = path.read_text(errors='replace').splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record['iter'], record['layers'] = int(record['iter']), dict(record['layers'])
            records.append(record)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if number < len(lines):
                raise DataError(f'{path}, line {number} is damaged; remove it') from error
    if not records:
        raise DataError(f'{path} holds no records yet; has the run reached its log_interval?')
    return records


def with_variance(records):
    """The records with `variance` of delta at the last time step, (SGV / CV)^2, for every layer."""
    return [
        dict(record, layers={name: dict(stats, variance=_variance(stats)) for name, stats in record['layers'].items()})
        for record in records
    ]


def _variance(stats):
    sgv, cv = stats.get('sgv'), (stats.get('cv') or [None])[-1]
    return (sgv / cv) ** 2 if sgv is not None and cv else None


def theorem_curve(records, thresholds):
    """L kappa / sigma^2 of Theorem 4.2 over a run, of each record's potentials under its windows.

    Args:
        records: of `read_adaptation_log`.
        thresholds: {layer: v_threshold}.

    Returns:
        ([iteration], [[ratio of every layer and time step whose potentials vary]]), empty for logs without the moments
        of the potentials.
    """
    ratios = []
    for record in records:
        found = []
        for layer, stats in record['layers'].items():
            for beta, mean, std in zip(stats['beta'], stats.get('u_mean', ()), stats.get('u_std', ())):
                if None not in (mean, std) and std > ROUNDING * max(abs(mean), thresholds[layer]):
                    found.append(2 * beta * (thresholds[layer] - beta - mean) / (std * std))
        ratios.append(found)
    return [record['iter'] for record in records], ratios


def curve(records, statistic):
    """A statistic over a run, averaged over layers and time steps that have it: ([iteration], [value or None])."""
    values = []
    for record in records:
        found = [x for stats in record['layers'].values() for x in _numbers(stats.get(statistic))]
        values.append(sum(found) / len(found) if found else None)
    return [record['iter'] for record in records], values


def _numbers(value):
    return [x for x in (value if isinstance(value, list) else [value]) if x is not None]
