"""Variation of local gradients and their consistency over time, on a data set after training and over a training run.

The local gradient of a neuron at time step t is delta[t] = dL/du[t], where u is the membrane potential. Over all
elements of a layer and all samples,

    SGV    = Var(delta[t]) / Mean(|delta[t]|)         spatial gradient variation
    CV     = Std(delta[t]) / Mean(|delta[t]|)         coefficient of variation
    TGC[t] = cos(delta[t], delta[t + 1])              temporal gradient consistency

Source: A2SG (ICML 2026, arXiv 2606.11236).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from a2sg_zoo.analysis.measures.moments import ROUNDING, Moments
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.neurons import named_neurons, recorded_gradients
from a2sg_zoo.surrogates import ASY, BOX, TRI

if TYPE_CHECKING:
    from a2sg_zoo.analysis.measures.objective import Objective

_SHAPES = {'cv_asy': ASY(), 'cv_tri': TRI(), 'cv_box': BOX()}


def local_gradient_statistics(objective: Objective) -> dict[tuple[str, int], dict[str, float | None]]:
    """Compute statistics of potentials and local gradients on a data set, for each layer and time step.

    delta is the gradient of the mean loss of a batch as large as the first one. SGV has the unit of delta, so it
    depends on the batch size, as it does in training.

    Args:
        objective: network and samples.

    Returns:
        {(layer, t): statistics}, t from 1, in the network's order. The statistics are
            mean, std: of the membrane potential u; std is 0 if it is below a millionth of u, which is rounding.
            v_threshold, beta: threshold of the neuron and width of its surrogate.
            rate: share of elements that fire.
            in_window: share of elements in the window, |u - v_threshold| <= beta.
            sgv, cv: see the head of this module; None where no gradient arrives.
            tgc: see the head of this module; None at the last time step, and where one of the gradients is 0.
            cv_asy, cv_tri, cv_box: CV over the window of the shapes ASY (h = 1/2), TRI and BOX at the measured
                potentials, where `a2sg_zoo.analysis.measures.theory` assumes a Gaussian; None for an empty window.

    Raises:
        ConfigError: the network has no spiking neurons with a surrogate.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.objective import Objective
        >>> from a2sg_zoo.analysis.measures.variation import local_gradient_statistics
        >>> from a2sg_zoo.models.classifiers import SpikingClassifier
        >>> model = SpikingClassifier(
        ...     backbone=dict(type='VGGSNN', widths=(4, 8), in_channels=3, T=2, time='keep'),
        ...     head=dict(type='LinearHead', in_channels=8, num_classes=10),
        ... )
        >>> found = local_gradient_statistics(Objective(model, [(torch.rand(4, 3, 8, 8), torch.arange(4))]))
        >>> list(found)[:2]
        [('backbone.features.0.neuron', 1), ('backbone.features.0.neuron', 2)]
    """
    neurons = named_neurons(objective.model)
    if not neurons:
        raise ConfigError(f'{type(objective.model).__name__} has no spiking neurons with a surrogate')
    sums: dict[tuple[str, int], _Sums] = {}
    first = None
    with recorded_gradients(
        objective.model, lambda layer, u, delta: _add(sums, layer, neurons[layer], u, delta * scale)
    ):
        for inputs, targets, _ in objective.weighted_batches():
            first = first or len(targets)
            scale = len(targets) / first
            torch.autograd.grad(objective.batch_loss(inputs, targets), objective.parameters, allow_unused=True)
    return {key: sums[key].statistics() for layer in neurons for key in sorted(key for key in sums if key[0] == layer)}


class _Sums:
    """Sums over the batches, for one layer and time step."""

    def __init__(self, v_threshold, beta):
        self.v_threshold, self.beta = v_threshold, beta
        self.u, self.delta, self.shapes = Moments(), Moments(), {name: Moments() for name in _SHAPES}
        self.spikes = self.size = self.square = self.along = self.square_after = 0

    def add(self, u, delta, after):
        """Add u, delta, and delta of the next time step (None at the last one)."""
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
        # a value that overflows is undefined
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


def read_adaptation_log(path: str | Path) -> list[dict[str, Any]]:
    """Read the records that `AdaptationHook` wrote in a run, in order.

    Args:
        path: `adaptation.jsonl`, or the folder of the run.

    Returns:
        Records dict(iter, layers={name: dict(beta, sgv, tgc, cv, rate, u_mean, u_std)}, ...). A statistic without a
        value is None, and older logs do not have u_mean and u_std. An incomplete last line is left out.

    Raises:
        DataError: there is no log, it is empty, or a line before the last one is damaged.
    """
    path = Path(path)
    path = path / 'adaptation.jsonl' if path.is_dir() else path
    if not path.is_file():
        raise DataError(f'{path} does not exist: the run has no policy, or has not reached its log_interval')
    lines = path.read_text(errors='replace').splitlines()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record['iter'], record['layers'] = int(record['iter']), dict(record['layers'])
            records.append(record)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if number < len(lines):
                raise DataError(f'{path}, line {number} is damaged; remove it') from error
    if not records:
        raise DataError(f'{path} has no records yet; the run has not reached its log_interval')
    return records


def with_variance(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records with one more statistic of every layer: `variance` of delta at the last time step.

    It is Var(delta) = (SGV / CV)^2.
    """
    return [
        dict(record, layers={name: dict(stats, variance=_variance(stats)) for name, stats in record['layers'].items()})
        for record in records
    ]


def _variance(stats):
    sgv, cv = stats.get('sgv'), (stats.get('cv') or [None])[-1]
    return (sgv / cv) ** 2 if sgv is not None and cv else None


def theorem_curve(
    records: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float]
) -> tuple[list[int], list[list[float]]]:
    """Compute L kappa / sigma^2 of Theorem 4.2 over a run, from the potentials and widths of each record.

    Args:
        records: from `read_adaptation_log`.
        thresholds: {layer: v_threshold}.

    Returns:
        (iterations, ratios). The ratios of a record are those of every layer and time step where the potentials vary.
        They are empty for logs without the moments of the potentials.
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


def curve(records: Sequence[Mapping[str, Any]], statistic: str) -> tuple[list[int], list[float | None]]:
    """Return a statistic over a run, averaged over the layers and time steps that have a value.

    Args:
        records: from `read_adaptation_log`.
        statistic: a key of a layer's statistics, such as 'sgv'.

    Returns:
        (iterations, values). A value is None if no layer has one.
    """
    values: list[float | None] = []
    for record in records:
        found = [x for stats in record['layers'].values() for x in _numbers(stats.get(statistic))]
        values.append(sum(found) / len(found) if found else None)
    return [record['iter'] for record in records], values


def _numbers(value):
    return [x for x in (value if isinstance(value, list) else [value]) if x is not None]
