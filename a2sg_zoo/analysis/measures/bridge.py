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
describes gradients whose mean dominates (CV < 1). Where mu is next to nothing beside Std, both sides over mu^2 grow as
whatever mu divides them by, and a fit of one to the other finds that, not a law of the network.

Source of the claim: A2SG (ICML 2026, arXiv 2606.11236), for fully connected layers.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from a2sg_zoo.analysis.measures.fisher import _gram, _slices, largest_eigenvalue
from a2sg_zoo.analysis.measures.moments import Moments

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
        return None if self.cv is None else self.rank_one + c * self.mu**2 * self.cv

    def claimed(self, relative_c):
        """`bound` for c = relative_c Lambda."""
        return None if self.cv is None else self.rank_one * (1 + relative_c * self.cv)


def bridge(objective, memory=4e9):
    """The bound beside the measured eigenvalue for every linear and convolutional layer.

    Args:
        objective: an `Objective`.
        memory: bytes that may be held in gradients; the layers' weights are walked through in slices that fit, one pass
            over the samples for each.

    Returns:
        [BridgeRow] in the network's order.
    """
    wanted, N = set(objective.names), objective.samples
    modules = {
        name: module
        for name, module in objective.model.named_modules()
        if isinstance(module, _LAYERS) and f'{name}.weight' in wanted
    }
    layers = [_Layer(module, N) for module in modules.values()]
    columns = max(1, int(memory / (2 * N * objective.parameters[0].element_size())))
    for pieces in _slices([layer.module.weight.numel() for layer in layers], columns) if layers else ():
        _pass(objective, [(layers[i], start, stop) for i, start, stop in pieces])
    return [layer.row(name) for name, layer in zip(modules, layers)]


class _Layer:
    """A layer's Gram matrices of the gradients g and of `one`, what they would be for delta = 1, summed over slices of
    its weight; and the moments of delta."""

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
        if self.columns.start == 0:  # once a sample, in whichever pass
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
        self.layer.gg += _gram(self.g)
        self.layer.one1 += _gram(self.one)
        self.layer.g1 += _gram(self.g, self.one)


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


def shared_constant(rows):
    """The largest of the rows' relative constants: with c = that times Lambda, the claim holds in every layer."""
    return max((row.relative_c for row in rows if row.relative_c is not None), default=0.0)


def as_dicts(rows):
    """Plain data, with `bound`: that of the claim with the rows' `shared_constant`."""
    worst = shared_constant(rows)
    return [{**asdict(row), 'bound': row.claimed(worst)} for row in rows]
