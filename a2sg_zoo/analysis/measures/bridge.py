"""The CV-curvature bridge of A2SG: a bound on the Fisher by the CV of gradients, compared with the measured Fisher.

For a layer y = W a, the gradient of a sample's loss with respect to W is g = sum_r a_r x delta_r. Here delta = dL/dy,
x is the outer product, and r runs over everything that shares W: time steps, and the positions of a convolution. Let mu
be the mean of delta over all its elements and samples, and delta = mu 1 + eps. Then g = mu (a x 1) + (a x eps), where
both products are summed over r, and the claim is

    lambda_max(F) <= mu^2 Lambda + c mu^2 CV(delta)
    Lambda = lambda_max(E[(a x 1)(a x 1)^T]),    CV = Std / |mu|

for "a constant c". There is always such a c; the question is how large it must be. This module computes the smallest c
for which the bound holds, and c / Lambda, which has no unit and can be compared between layers. A bound without a
constant is the triangle inequality,

    lambda_max(F) <= (|mu| sqrt(Lambda) + sqrt(lambda_eps))^2,    lambda_eps = lambda_max(E[(a x eps)(a x eps)^T])

lambda_eps grows with mu^2 CV^2, which is quadratic in CV. The linear growth of the claim is that of the cross term, so
it describes gradients with a dominant mean (CV < 1). Where mu is very small compared with Std, both sides divided by
mu^2 grow because mu is small. A fit of one side to the other then finds this, and not a law of the network.

Source of the claim: A2SG (ICML 2026, arXiv 2606.11236), for fully connected layers.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from a2sg_zoo.analysis.measures.fisher import gram_matrix, largest_eigenvalue, slice_columns
from a2sg_zoo.analysis.measures.moments import Moments
from a2sg_zoo.analysis.measures.objective import Objective

_LAYERS = nn.Linear, nn.Conv1d, nn.Conv2d


@dataclass(frozen=True)
class BridgeRow:
    """Both sides of the bound for one layer.

    Attributes:
        layer: name of the module.
        measured: lambda_max of the block of the empirical Fisher that belongs to the weight.
        mu: mean of delta, the gradient of a sample's own loss. It counts as 0 if it is below 1e-6 Mean(|delta|), where
            it is rounding: before a softmax, delta sums to 0 over the classes.
        cv: Std(delta) / |mu|; None for mu = 0.
        cv_abs: Std(delta) / Mean(|delta|), which is the CV of the other measures; None if there is no gradient.
        rank_one: mu^2 Lambda.
        perturbation: lambda_eps.
        triangle: the bound without a constant.
        c: the smallest constant of the claim; 0 where `rank_one` alone is a bound, None for mu = 0.
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

    def bound(self, c: float) -> float | None:
        """Return mu^2 Lambda + c mu^2 CV(delta), or None for mu = 0."""
        return None if self.cv is None else self.rank_one + c * self.mu**2 * self.cv

    def claimed(self, relative_c: float) -> float | None:
        """Return `bound` for c = relative_c * Lambda, or None for mu = 0."""
        return None if self.cv is None else self.rank_one * (1 + relative_c * self.cv)


def cv_curvature_bridge(objective: Objective, memory: float = 4e9) -> list[BridgeRow]:
    """Compute the bound and the measured eigenvalue for every linear and convolutional layer.

    Args:
        objective: network and samples.
        memory: bytes that may be used for gradients. Weights are processed in slices that fit; each slice takes one
            pass over the samples.

    Returns:
        A row for each layer, in the network's order.
    """
    wanted, N = set(objective.names), objective.samples
    modules = {
        name: module
        for name, module in objective.model.named_modules()
        if isinstance(module, _LAYERS) and f'{name}.weight' in wanted
    }
    layers = [_Layer(module, N) for module in modules.values()]
    columns = max(1, int(memory / (2 * N * objective.parameters[0].element_size())))
    for pieces in slice_columns([layer.module.weight.numel() for layer in layers], columns) if layers else ():
        _pass(objective, [(layers[i], start, stop) for i, start, stop in pieces])
    return [layer.row(name) for name, layer in zip(modules, layers)]


class _Layer:
    """Gram matrices of a layer, summed over slices of its weight, and the moments of delta.

    They are those of the gradients g, and of `one`, the gradients for delta = 1.
    """

    def __init__(self, module, N):
        self.module, self.N = module, N
        self.gg, self.g1, self.one1 = torch.zeros(3, N, N, dtype=torch.float64)
        self.delta, self.absolute = Moments(), 0

    def row(self, name):
        mu = deviation = size = 0.0
        if self.delta.n:
            size = self.absolute / self.delta.n
            mu, deviation = self.delta.mean, self.delta.std(size)
        mu = mu if abs(mu) > 1e-6 * size else 0.0
        eps = self.gg - mu * (self.g1 + self.g1.T) + mu * mu * self.one1
        measured, Lambda, perturbation = (largest_eigenvalue(x) / self.N for x in (self.gg, self.one1, eps))
        rank_one = mu * mu * Lambda
        cv = deviation / abs(mu) if mu else None
        c = None
        if mu and deviation:
            c = max(0.0, (measured - rank_one) / (mu * mu * cv))
        elif mu:
            c = 0.0
        return BridgeRow(
            name,
            measured,
            mu,
            cv,
            deviation / size if size else None,
            rank_one,
            perturbation,
            (rank_one**0.5 + perturbation**0.5) ** 2,
            c,
            c / Lambda if c is not None and Lambda else None,
        )


class _Slice:
    """A slice of a layer's weight in one pass over the samples."""

    def __init__(self, layer, start, stop):
        self.layer, self.columns, self.samples = layer, slice(start, stop), 0
        self.g, self.one = (layer.module.weight.new_zeros(layer.N, stop - start) for _ in range(2))
        self.handle = layer.module.register_forward_hook(self._forward)

    def _forward(self, module, args, output):
        if self.columns.start == 0:  # the first slice, so that every sample is counted once
            output.register_hook(self._delta)
        with torch.enable_grad():
            again = module.forward(args[0].detach())
            (ones,) = torch.autograd.grad(again, module.weight, torch.ones_like(again))
        self.one[self.samples] += ones.flatten()[self.columns]

    def _delta(self, delta):
        self.layer.delta.add(delta)
        self.layer.absolute += float(delta.double().abs().sum())

    def finish_sample(self, gradient):
        self.g[self.samples] = gradient.flatten()[self.columns]
        self.samples += 1

    def finish(self):
        self.layer.gg += gram_matrix(self.g)
        self.layer.one1 += gram_matrix(self.one)
        self.layer.g1 += gram_matrix(self.g, self.one)


def _pass(objective, pieces):
    slices = [_Slice(*piece) for piece in pieces]
    weights = [piece.layer.module.weight for piece in slices]
    try:
        for inputs, targets in objective.single_samples():
            gradients = torch.autograd.grad(
                objective.batch_loss(inputs, targets), weights, allow_unused=True, materialize_grads=True
            )
            for piece, gradient in zip(slices, gradients):
                piece.finish_sample(gradient)
    finally:
        for piece in slices:
            piece.handle.remove()
    for piece in slices:
        piece.finish()


def shared_constant(rows: Sequence[BridgeRow]) -> float:
    """Return the largest `relative_c`; with c = this number times Lambda, the claim holds in every layer."""
    return max((row.relative_c for row in rows if row.relative_c is not None), default=0.0)


def as_dicts(rows: Sequence[BridgeRow]) -> list[dict]:
    """Return the rows as plain data, with one more key: `bound`, the claim's bound with `shared_constant`."""
    worst = shared_constant(rows)
    return [{**asdict(row), 'bound': row.claimed(worst)} for row in rows]
