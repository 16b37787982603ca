"""The Hessian of a surrogate-gradient network: largest eigenvalues, trace, asymmetry; and SAM's sharpness.

What training follows is no gradient: the derivative of the step s = [z >= 0] is replaced by f(z). So "the Hessian"
needs a definition, and there are two.

- 'surrogate': differentiate twice by the chain rule, with s' = f and s'' = f' wherever a spike occurs. This is what
  derivations with a second-order chain rule mean, and what the product rule makes of a spike in both factors of a
  weight's gradient. Each spike then stands for the same triple (s, f, f'), and a composition of such triples has a
  symmetric second derivative, detached resets included; the measured asymmetry is rounding.
- 'field': the Jacobian of the surrogate gradient field w -> g(w) as it is. The spikes in g are piecewise constant,
  so at almost every w their derivative is 0, and only z inside f is differentiated. It is what finite differences of
  the gradient tend to while no spike flips, it is not symmetric in general, and it leaves out how spikes flip, which
  is most of what a training step sees. Eigenvalues are those of its symmetric part (H + H^T) / 2, and its asymmetry
  |H - H^T|_F / |H + H^T|_F says how much that leaves out.

TRI and ASY have a derivative almost everywhere; the jumps and kinks at the edges of their windows neither kind sees.
BOX has f' = 0, as has the identity that ILIF takes for its rounding: their 'field' does not depend on how potentials
move at all, and their 'surrogate' has only products of first derivatives.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from a2sg_zoo.analysis.measures.objective import flat
from a2sg_zoo.compat import dispatch_mode, tensors_in
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import ILIF, compute_reference, use_backend

KINDS = ('surrogate', 'field')
# peak of a product with the Hessian in units of what a forward pass writes: 2 to 3 as measured
_GRAPHS = 3


class _Switched:
    """Surrogates that may be made 0: then spikes pass no derivative on."""

    def __init__(self):
        self.off = False

    def spikes(self, neuron, x):
        """A backend in plain autograd, under the switch."""

        def shape(z, beta):
            return torch.zeros_like(z) if self.off else neuron.surrogate(z, beta)

        return compute_reference(neuron, x, shape)

    def gate(self, module, args, spikes):
        """A forward hook that does the same for neurons without a surrogate."""
        if spikes.requires_grad:
            spikes.register_hook(lambda grad: torch.zeros_like(grad) if self.off else grad)


@contextmanager
def twice_differentiable(model):
    """Within it, the neurons of `model` run in plain autograd, which can be differentiated again; same spikes and
    same gradients, for a fixed window. Gives a switch: while its `off` is True, backward passes stop at spikes."""
    switch = _Switched()
    # integer neurons have no window and are in plain autograd as they are
    gates = [module.register_forward_hook(switch.gate) for module in model.modules() if isinstance(module, ILIF)]
    try:
        with use_backend(model, switch.spikes):
            yield switch
    finally:
        for gate in gates:
            gate.remove()


class _Written(dispatch_mode()):
    """Counts the bytes that operations write."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(x.numel() * x.element_size() for x in tensors_in(out))
        return out


def in_bounded_batches(objective, memory):
    """The objective in batches small enough for a product with the Hessian to take about `memory` bytes beyond what the
    network takes; of one sample at least."""
    inputs, targets = next(objective.single_samples())
    with twice_differentiable(objective.model), _Written() as written:
        objective.batch_loss(inputs, targets)
    return objective.in_batches_of(max(1, int(memory / (_GRAPHS * written.bytes))))


class Hessian:
    """Products with the Hessian of an objective, in passes over its batches; the matrix is never formed.

    Args:
        objective: an `Objective`.
        kind: 'surrogate' or 'field'; see above.
    """

    def __init__(self, objective, kind='surrogate'):
        if kind not in KINDS:
            raise A2SGError(f'Hessian: kind must be one of {", ".join(KINDS)}, got {kind!r}')
        self.objective, self.kind = objective, kind

    def transposed(self, v):
        """H^T v."""
        return self._pass(lambda first, switch: self._backward(first, v, switch))

    def product(self, v):
        """H v: H^T c is linear in c, and its derivative along v with respect to c is H v."""

        def one(first, switch):
            c = torch.zeros_like(v, requires_grad=True)
            second = self._backward(first, c, switch, create_graph=True)
            if not second.requires_grad:
                return torch.zeros_like(v)
            return torch.autograd.grad(second @ v, c, allow_unused=True, materialize_grads=True)[0]

        return self._pass(one)

    def symmetric(self, v):
        """(H + H^T) v / 2. For 'surrogate', H^T v, which is the same."""
        return self.transposed(v) if self.kind == 'surrogate' else (self.transposed(v) + self.product(v)) / 2

    def _pass(self, one_batch):
        objective = self.objective
        total = torch.zeros(objective.size, **objective.like)
        with twice_differentiable(objective.model) as switch:
            for inputs, targets, share in objective.weighted_batches():
                gradients = torch.autograd.grad(
                    objective.batch_loss(inputs, targets),
                    objective.parameters,
                    create_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                total.add_(one_batch(flat(gradients), switch), alpha=share)
        return total

    def _backward(self, first, v, switch, **kwargs):
        if not first.requires_grad:
            return torch.zeros_like(v)
        switch.off = self.kind == 'field'
        try:
            return flat(
                torch.autograd.grad(
                    first @ v, self.objective.parameters, allow_unused=True, materialize_grads=True, **kwargs
                )
            )
        finally:
            switch.off = False

    def asymmetry(self, vectors=4, seed=0):
        """|H - H^T| / |H + H^T| in the Frobenius norm, estimated on random vectors; None for H = 0."""
        differences = sums = 0.0
        for v in _signs(self.objective, vectors, seed):
            a, b = self.product(v), self.transposed(v)
            differences += float((a - b).double().square().sum())
            sums += float((a + b).double().square().sum())
        return math.sqrt(differences / sums) if sums else None


@dataclass(frozen=True)
class Spectrum:
    """Attributes:
    largest, smallest: eigenvalues.
    residual_largest, residual_smallest: |H v - lambda v| for the unit vectors v that were found, divided by the
        larger one of |lambda|; None for H = 0.
    steps: products taken.
    """

    largest: float
    smallest: float
    residual_largest: float | None
    residual_smallest: float | None
    steps: int


def extreme_eigenvalues(product, size, steps=40, tolerance=1e-3, seed=0, both=True, **like):
    """Largest and smallest eigenvalue of a symmetric matrix, by Lanczos with full reorthogonalisation.

    Args:
        product: v -> A v.
        size: of v.
        steps: bound on the number of products; as many vectors of that size are kept.
        tolerance: relative residual of both eigenvalues at which it stops.
        seed: of the starting vector.
        both: False to stop when the one of the largest eigenvalue is as small: sooner, and with a rough smallest one.
        **like: dtype and device of v.

    Returns:
        Spectrum.
    """
    v = torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(**like)
    basis, diagonal, off, best = [], [], [], None
    norm = float(v.norm())
    while len(basis) < min(steps, size):
        basis.append(v / norm)
        w = product(basis[-1])
        if not bool(w.isfinite().all()):
            raise A2SGError('a product with the Hessian is NaN or infinite; is the loss finite at these weights?')
        diagonal.append(float(w @ basis[-1]))
        for _ in range(2):  # once leaves rounding errors that grow into copies of eigenvalues
            for b in basis:
                w = w - (w @ b) * b
        norm = float(w.norm())
        T = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        for i, x in enumerate(off):
            T[i, i + 1] = T[i + 1, i] = x
        values, rotations = torch.linalg.eigh(T)
        largest, smallest = float(values[-1]), float(values[0])
        scale = max(abs(largest), abs(smallest))
        residuals = [norm * abs(float(rotations[-1, i])) / scale if scale else None for i in (-1, 0)]
        best = Spectrum(largest, smallest, *residuals, len(basis))
        if norm <= 1e-12 * scale or len(basis) > 2 and max(residuals if both else residuals[:1]) <= tolerance:
            break
        off.append(norm)
        v = w
    return best


def hessian_spectrum(objective, kind='surrogate', **kwargs):
    """Extreme eigenvalues of the Hessian's symmetric part; `kwargs` as of `extreme_eigenvalues`."""
    return extreme_eigenvalues(Hessian(objective, kind).symmetric, objective.size, **kwargs, **objective.like)


def hessian_trace(objective, kind='surrogate', vectors=16, seed=0):
    """Hutchinson's estimate tr H = E[v^T H v], v of random signs: (mean, its standard error; None for one vector)."""
    hessian = Hessian(objective, kind)
    samples = torch.tensor(
        [float(v @ hessian.transposed(v)) for v in _signs(objective, vectors, seed)], dtype=torch.float64
    )
    return float(samples.mean()), float(samples.std() / math.sqrt(vectors)) if vectors > 1 else None


def _signs(objective, vectors, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(vectors):
        yield (torch.randint(2, (objective.size,), generator=generator) * 2 - 1).to(**objective.like)


def sam_sharpness(objective, rho=0.05):
    """L(w + rho g / |g|) - L(w): what SAM's ascent step finds within a ball of radius rho.

    Returns:
        A number; None where g = 0.

    Source: Foret et al., ICLR 2021.
    """
    g = objective.gradient()
    norm = float(g.norm())
    if not norm:
        return None
    before = objective.loss()
    with moved(objective, g * (rho / norm)):
        return objective.loss() - before


@contextmanager
def moved(objective, step):
    """Within it, the weights are w + step; afterwards they are bit for bit what they were."""
    saved = [p.detach().clone() for p in objective.parameters]
    try:
        with torch.no_grad():
            for p, x in zip(objective.parameters, objective.split(step)):
                p.add_(x)
        yield
    finally:
        with torch.no_grad():
            for p, x in zip(objective.parameters, saved):
                p.copy_(x)
