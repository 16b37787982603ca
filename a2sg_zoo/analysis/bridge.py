"""The CV-curvature bridge of A2SG, evaluated beside the Fisher block that it bounds, layer by layer.

For a layer y = W a the gradient of a sample's loss is g = sum_r a_r x delta_r, with delta = dL/dy and r running over
whatever shares W: time steps, and positions of a convolution. With mu the mean of delta over all its elements and
samples, delta = mu 1 + eps, the gradient is g = mu (a x 1) + (a x eps), a x 1 summed over r too, and the claim is

    lambda_max(F) <= mu^2 Lambda + c mu^2 CV(delta),    Lambda = lambda_max(E[(a x 1)(a x 1)^T]),  CV = Std / |mu|

for "a constant c". Some c always does; what it must be is the question. Here c is the smallest that makes the bound
hold, and c / Lambda its value without unit, which can be compared across layers. The bound that needs no constant is
the triangle inequality,

    lambda_max(F) <= (|mu| sqrt(Lambda) + sqrt(lambda_eps))^2,    lambda_eps = lambda_max(E[(a x eps)(a x eps)^T]),

whose second part grows with mu^2 CV^2: quadratically. The claim's linear growth is that of its cross term, and
describes gradients whose mean dominates (CV < 1).

Source of the claim: A2SG (ICML 2026, arXiv 2606.11236), for fully connected layers.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from a2sg_zoo.analysis.fisher import _gram, largest_eigenvalue
from a2sg_zoo.analysis.moments import Moments

_LAYERS = nn.Linear, nn.Conv1d, nn.Conv2d


@dataclass(frozen=True)
class BridgeRow:
    """Attributes:
        layer: name of the module.
        measured: lambda_max of the weight's block of the empirical Fisher.
        mu: mean of delta, of a sample's own loss. Counts as 0 below 1e-6 Mean(|delta|), where it is rounding: before
            a softmax, delta sums to 0 over the classes.
        cv: Std(delta) / |mu|; None for mu = 0.
        cv_abs: Std(delta) / Mean(|delta|), as CV is defined elsewhere here; None without a gradient.
        rank_one: mu^2 Lambda.
        perturbation: lambda_eps.
        triangle: the bound without a constant.
        c: the smallest constant of the claim; None for mu = 0, and 0 where `rank_one` is enough.
        relative_c: c / Lambda.
    """

    layer: str
    measured: float
    mu: float
    cv: float | None
    cv_abs: float | None
    rank_one: float
    perturbation: float
    triangle: float
    c: float | None
    relative_c: float | None

    def bound(self, c):
        """mu^2 Lambda + c mu^2 CV(delta); None for mu = 0."""
        return None if self.cv is None else self.rank_one + c * self.mu ** 2 * self.cv


def bridge(objective, memory=4e9):
    """The bound beside the measured eigenvalue for every linear and convolutional layer.

    Args:
        objective: an `Objective`.
        memory: bytes that may be held in gradients; layers are taken in groups that fit, one pass over the samples
            for each. (A single layer takes 2 N times the size of its weight, whatever this says.)

    Returns:
        [BridgeRow] in the network's order.
    """
    wanted = set(objective.names)
    layers = {name: module for name, module in objective.model.named_modules()
              if isinstance(module, _LAYERS) and f'{name}.weight' in wanted}
    rows = []
    for group in _groups(layers, memory / (2 * objective.samples)):
        rows.extend(_measure(objective, group))
    return rows


def _groups(layers, room):
    groups, used = [{}], 0
    for name, module in layers.items():
        size = module.weight.numel() * module.weight.element_size()
        if groups[-1] and used + size > room:
            groups.append({})
            used = 0
        groups[-1][name] = module
        used += size
    return groups


class _Layer:
    """Collects a layer's gradients, what they would be for delta = 1, and the sums of delta."""

    def __init__(self, module, samples):
        self.module, self.samples = module, 0
        self.gradients, self.ones = (module.weight.new_zeros(samples, module.weight.numel()) for _ in range(2))
        self.delta, self.absolute = Moments(), 0
        self.handle = module.register_forward_hook(self._forward)
        self.pending = None

    def _forward(self, module, args, output):
        output.register_hook(self._delta)
        with torch.enable_grad():
            again = module.forward(args[0].detach())
            ones, = torch.autograd.grad(again, module.weight, torch.ones_like(again))
        self.pending = ones if self.pending is None else self.pending + ones

    def _delta(self, delta):
        self.delta.add(delta)
        self.absolute += float(delta.double().abs().sum())

    def finish_sample(self, gradient):
        self.gradients[self.samples] = gradient.flatten()
        if self.pending is not None:
            self.ones[self.samples] = self.pending.flatten()
        self.samples, self.pending = self.samples + 1, None

    def row(self, name):
        N, g, one = self.samples, self.gradients, self.ones
        mu = deviation = size = 0.0
        if self.delta.n:
            size = self.absolute / self.delta.n
            mu, deviation = self.delta.mean, self.delta.std(size)
        mu = mu if abs(mu) > 1e-6 * size else 0.0
        measured, Lambda = (largest_eigenvalue(_gram(x)) / N for x in (g, one))
        perturbation = largest_eigenvalue(_gram(g.sub_(one, alpha=mu))) / N
        rank_one = mu * mu * Lambda
        cv = deviation / abs(mu) if mu else None
        c = None
        if mu and deviation:
            c = max(0.0, (measured - rank_one) / (mu * mu * cv))
        elif mu:
            c = 0.0
        return BridgeRow(name, measured, mu, cv, deviation / size if size else None,
                         rank_one, perturbation, (rank_one ** 0.5 + perturbation ** 0.5) ** 2, c,
                         c / Lambda if c is not None and Lambda else None)


def _measure(objective, layers):
    collectors = {name: _Layer(module, objective.samples) for name, module in layers.items()}
    weights = [module.weight for module in layers.values()]
    try:
        for inputs, targets in objective.single_samples():
            gradients = torch.autograd.grad(objective.batch_loss(inputs, targets), weights, allow_unused=True,
                                            materialize_grads=True)
            for collector, gradient in zip(collectors.values(), gradients):
                collector.finish_sample(gradient)
    finally:
        for collector in collectors.values():
            collector.handle.remove()
    return [collector.row(name) for name, collector in collectors.items()]


def as_dicts(rows):
    """Plain data, with `bound`: that with the largest of the rows' relative constants, c = relative_c * Lambda."""
    worst = max((row.relative_c for row in rows if row.relative_c is not None), default=0.0)
    return [{**asdict(row), 'bound': None if row.cv is None else row.rank_one * (1 + worst * row.cv)} for row in rows]
