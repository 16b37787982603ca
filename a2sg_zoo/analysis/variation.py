"""Variation of local gradients and consistency over time: on a data set after training, and over a training run."""

import json
from contextlib import contextmanager
from pathlib import Path

import torch

from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.neurons import named_neurons
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
            mean, std: of the membrane potential u.
            v_threshold, beta: of the neuron.
            rate: share of elements that fire.
            in_window: share of elements within the window |u - v_threshold| <= beta.
            sgv, cv: Var(delta) / Mean(|delta|), Std(delta) / Mean(|delta|); None where no gradient arrives.
            tgc: cos(delta[t], delta[t + 1]); None at the last step, and where either is 0.
            cv_asy, cv_tri, cv_box: CV over the window of ASY with h = 1/2, TRI and BOX on the potentials as they are,
                where `a2sg_zoo.analysis.theory` has a Gaussian; None for an empty window.

    Raises:
        A2SGError: the network has no spiking neurons with a window.
    """
    neurons = named_neurons(objective.model)
    if not neurons:
        raise A2SGError(f'{type(objective.model).__name__} has no spiking neurons with a window to look at')
    sums, first = {}, None
    with _recording(neurons, lambda layer, u, delta: _add(sums, layer, neurons[layer], u, delta * scale)):
        for inputs, targets, _ in objective.weighted_batches():
            first = first or len(targets)
            scale = len(targets) / first
            torch.autograd.grad(objective.batch_loss(inputs, targets), objective.parameters, allow_unused=True)
    return {key: _statistics(sums[key]) for layer in neurons
            for key in sorted(key for key in sums if key[0] == layer)}


@contextmanager
def _recording(neurons, record):
    """Within it, `record(layer, u, delta)` is called in the backward pass of every neuron."""
    for layer, neuron in neurons.items():
        neuron._window = _recorder(layer, neuron._window, record)
    try:
        yield
    finally:
        for neuron in neurons.values():
            del neuron._window


def _recorder(layer, window_of, record):
    def window(T):
        window = window_of(T)
        window.done = lambda u, delta: record(layer, u, delta)
        return window

    return window


def _add(sums, layer, neuron, u, delta):
    T = len(u)
    beta = neuron.beta if neuron.beta.numel() in (1, T) else neuron.beta[-1:]
    for t in range(T):
        z, d, b = u[t] - neuron.v_threshold, delta[t], float(beta[t if beta.numel() > 1 else 0])
        inside = z[z.abs() <= b]
        new = dict(n=z.numel(), u=_sum(u[t]), uu=_sum(u[t], u[t]), spikes=_sum(z >= 0), inside=inside.numel(),
                   d=_sum(d), dd=_sum(d, d), abs=_sum(d.abs()),
                   next=_sum(d, delta[t + 1]) if t + 1 < T else None, dd_next=_sum(delta[t + 1], delta[t + 1])
                   if t + 1 < T else None)
        for name, shape in _SHAPES.items():
            f = shape(inside, b)
            new[name] = _sum(f)
            new[f'{name}²'] = _sum(f, f)
        old = sums.setdefault((layer, t + 1), dict(v_threshold=neuron.v_threshold, beta=b))
        for key, value in new.items():
            old[key] = None if value is None else old.get(key, 0) + value


def _sum(x, y=None):
    return float((x.double() if y is None else x.double() * y).sum())


def _statistics(s):
    n = s['n']
    mean = s['u'] / n
    spread = max(0.0, s['dd'] / n - (s['d'] / n) ** 2)
    size = s['abs'] / n
    result = dict(
        mean=mean, std=max(0.0, s['uu'] / n - mean * mean) ** 0.5, v_threshold=s['v_threshold'], beta=s['beta'],
        rate=s['spikes'] / n, in_window=s['inside'] / n, sgv=spread / size if size else None,
        cv=spread ** 0.5 / size if size else None,
        tgc=s['next'] / (s['dd'] * s['dd_next']) ** 0.5 if s['next'] is not None and s['dd'] and s['dd_next'] else None)
    for name in _SHAPES:
        first, second = s[name], s[f'{name}²']
        result[name] = max(0.0, second * s['inside'] / first ** 2 - 1) ** 0.5 if first else None
    return result


def read_adaptation_log(path):
    """The records that `AdaptationHook` wrote in a run, in order.

    Args:
        path: `adaptation.jsonl`, or the folder of the run.

    Returns:
        [dict(iter, layers={name: dict(beta, sgv, tgc, cv, rate)}, ...)]; a statistic without a value is None. A last
        line that a kill cut short is left out.

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


def curve(records, statistic):
    """A statistic over a run, averaged over layers and time steps that have it: ([iteration], [value or None])."""
    values = []
    for record in records:
        found = [x for stats in record['layers'].values() for x in _numbers(stats.get(statistic))]
        values.append(sum(found) / len(found) if found else None)
    return [record['iter'] for record in records], values


def _numbers(value):
    return [x for x in (value if isinstance(value, list) else [value]) if x is not None]
