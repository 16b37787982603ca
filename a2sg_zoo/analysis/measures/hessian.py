"""The Hessian of a surrogate-gradient network: largest eigenvalues, trace, asymmetry; and SAM's sharpness.

A surrogate gradient is not the gradient of a function, because the derivative of the step s = [z >= 0] is replaced by
f(z). So "the Hessian" needs a definition, and there are two:

- 'surrogate': differentiate twice by the chain rule, with s' = f and s'' = f' for every spike. Derivations with a
  second-order chain rule mean this Hessian. Each spike stands for the same triple (s, f, f'), and a composition of such
  triples has a symmetric second derivative, also with detached resets. The measured asymmetry is rounding.
- 'field': the Jacobian of the surrogate gradient as a function of the weights, w -> g(w). The spikes in g are piecewise
  constant, so their derivative is 0 at almost every w, and only z inside f is differentiated. Finite differences of the
  gradient converge to this Hessian as long as no spike flips. It is not symmetric in general, and it does not contain
  the effect of flipping spikes, which dominates in a training step. Eigenvalues of this kind are those of the symmetric
  part (H + H^T) / 2, and the asymmetry |H - H^T|_F / |H + H^T|_F says how much this leaves out.

TRI and ASY have a derivative almost everywhere. Neither kind contains the jumps and kinks at the edges of a window. BOX
has f' = 0, and so has the identity that ILIF uses for its rounding. For them, the 'field' does not depend on how
potentials move, and the 'surrogate' has only products of first derivatives.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from a2sg_zoo.analysis.measures.objective import Objective, flat
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import ILIF, compute_reference, named_neurons, use_backend
from a2sg_zoo.surrogates import Surrogate
from a2sg_zoo.utils.tensors import nested_tensors

KINDS = ('surrogate', 'field')
# peak memory of a product with the Hessian, as a multiple of what a forward pass writes; measured: 2 to 3
_GRAPHS = 3


class SpikeSwitch:
    """Switches the derivative of spikes off.

    Attributes:
        off: while it is True, no derivative passes through spikes in a backward pass.
    """

    def __init__(self) -> None:
        self.off = False

    def gated(self, advance: Callable[..., tuple[torch.Tensor, tuple]]) -> Callable[..., tuple[torch.Tensor, tuple]]:
        """Return the `advance` of a neuron without a surrogate, with a switch on the spikes."""

        def gated_advance(*args):
            spikes, state = advance(*args)
            if spikes.requires_grad:
                spikes.register_hook(lambda grad: torch.zeros_like(grad) if self.off else grad)
            return spikes, state

        return gated_advance


class _Switched(Surrogate):
    """The shape of a neuron, with a switch."""

    def __init__(self, shape, switch):
        super().__init__(shape.beta)
        self.shape, self.switch = shape, switch

    def __call__(self, z, beta):
        return torch.zeros_like(z) if self.switch.off else self.shape(z, beta)


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[SpikeSwitch]:
    """Within it, the neurons of a network run in plain autograd, which can be differentiated twice.

    Spikes and gradients are the same, for fixed widths.

    Yields:
        A switch for the derivative of spikes.
    """
    switch = SpikeSwitch()
    shapes = {neuron: neuron.surrogate for neuron in named_neurons(model).values()}
    # integer neurons have no surrogate and always run in plain autograd
    integers: list[Any] = [module for module in model.modules() if isinstance(module, ILIF)]
    try:
        for neuron, shape in shapes.items():
            neuron.surrogate = _Switched(shape, switch)
        for module in integers:
            module.advance = switch.gated(module.advance)
        with use_backend(model, compute_reference):
            yield switch
    finally:
        for neuron, shape in shapes.items():
            neuron.surrogate = shape
        for module in integers:
            del module.advance


class _WrittenBytes(TorchFunctionMode):
    """Counts the bytes of the results of torch functions, without views of their arguments."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        memory = {x.untyped_storage().data_ptr() for x in nested_tensors((args, kwargs))}
        for x in nested_tensors(out):
            if x.untyped_storage().data_ptr() not in memory:
                self.bytes += x.numel() * x.element_size()
        return out


def in_bounded_batches(objective: Objective, memory: float) -> Objective:
    """Return the same objective in batches so small that a product with the Hessian takes about `memory` bytes.

    The memory of the network itself is not counted. A batch has at least one sample.
    """
    inputs, targets = next(objective.single_samples())
    with twice_differentiable(objective.model), _WrittenBytes() as written:
        objective.batch_loss(inputs, targets)
    return objective.in_batches_of(max(1, int(memory / (_GRAPHS * written.bytes))))


class Hessian:
    """Products of the Hessian H of an objective with vectors; the P x P matrix is never stored.

    A product takes one pass over the batches.

    Args:
        objective: network and samples.
        kind: 'surrogate' or 'field', see the head of this module.

    Raises:
        A2SGError: `kind` is unknown.
    """

    def __init__(self, objective: Objective, kind: str = 'surrogate'):
        if kind not in KINDS:
            raise A2SGError(f'Hessian: kind must be one of {", ".join(KINDS)}, got {kind!r}')
        self.objective, self.kind = objective, kind

    def transposed(self, v: torch.Tensor) -> torch.Tensor:
        """Return H^T v for a vector v (P,)."""
        return self._pass(lambda first, switch: self._backward(first, v, switch))

    def product(self, v: torch.Tensor) -> torch.Tensor:
        """Return H v for a vector v (P,): the derivative of v^T (H^T c) with respect to c."""

        def one(first, switch):
            c = torch.zeros_like(v, requires_grad=True)
            second = self._backward(first, c, switch, create_graph=True)
            if not second.requires_grad:
                return torch.zeros_like(v)
            return torch.autograd.grad(second @ v, c, allow_unused=True, materialize_grads=True)[0]

        return self._pass(one)

    def symmetric(self, v: torch.Tensor) -> torch.Tensor:
        """Return (H + H^T) v / 2 for a vector v (P,); for 'surrogate' that is H^T v."""
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

    def asymmetry(self, vectors: int = 4, seed: int = 0) -> float | None:
        """Estimate |H - H^T| / |H + H^T| in the Frobenius norm.

        Args:
            vectors: number of random vectors.
            seed: seed of the random vectors.

        Returns:
            The estimate; None for H = 0.
        """
        differences = sums = 0.0
        for v in _signs(self.objective, vectors, seed):
            a, b = self.product(v), self.transposed(v)
            differences += float((a - b).double().square().sum())
            sums += float((a + b).double().square().sum())
        return math.sqrt(differences / sums) if sums else None


@dataclass(frozen=True)
class Spectrum:
    """Extreme eigenvalues of a symmetric matrix H.

    Attributes:
        largest: largest eigenvalue.
        smallest: smallest eigenvalue.
        residual_largest: |H v - lambda v| / max |lambda| for the unit vector v and lambda of the largest eigenvalue;
            None for H = 0.
        residual_smallest: the same of the smallest eigenvalue.
        steps: number of products with H.
    """

    largest: float
    smallest: float
    residual_largest: float | None
    residual_smallest: float | None
    steps: int


def extreme_eigenvalues(
    product: Callable[[torch.Tensor], torch.Tensor],
    size: int,
    steps: int = 40,
    tolerance: float = 1e-3,
    seed: int = 0,
    both: bool = True,
    **like: Any,
) -> Spectrum:
    """Compute the largest and the smallest eigenvalue of a symmetric matrix A, by Lanczos' method.

    New vectors are made orthogonal to all earlier ones.

    Args:
        product: function from v (size,) to A v.
        size: number of elements of v.
        steps: largest number of products; as many vectors are stored.
        tolerance: the method stops when the relative residuals of both eigenvalues are below this.
        seed: seed of the first vector.
        both: False to stop when the residual of the largest eigenvalue alone is below `tolerance`. This is sooner, and
            the smallest eigenvalue is less accurate.
        **like: dtype and device of v.

    Raises:
        A2SGError: a product is NaN or infinite.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.hessian import extreme_eigenvalues
        >>> diagonal = torch.tensor([-1.0, 0.5, 3.0])
        >>> found = extreme_eigenvalues(lambda v: diagonal * v, size=3)
        >>> round(found.largest, 3), round(found.smallest, 3)
        (3.0, -1.0)
    """
    v = torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(**like)
    basis: list[torch.Tensor] = []
    diagonal: list[float] = []
    off: list[float] = []
    best = Spectrum(0.0, 0.0, None, None, 0)
    norm = float(v.norm())
    while len(basis) < min(steps, size):
        basis.append(v / norm)
        w = product(basis[-1])
        if not bool(w.isfinite().all()):
            raise A2SGError('a product with the Hessian is NaN or infinite; check that the loss is finite')
        diagonal.append(float(w @ basis[-1]))
        for _ in range(2):  # the rounding errors of a single pass would grow into copies of eigenvalues
            for b in basis:
                w = w - (w @ b) * b
        norm = float(w.norm())
        T = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        for i, x in enumerate(off):
            T[i, i + 1] = T[i + 1, i] = x
        values, rotations = torch.linalg.eigh(T)
        largest, smallest = float(values[-1]), float(values[0])
        scale = max(abs(largest), abs(smallest))
        residuals = [norm * abs(float(rotations[-1, i])) / scale if scale else 0.0 for i in (-1, 0)]
        of_largest, of_smallest = residuals if scale else (None, None)
        best = Spectrum(largest, smallest, of_largest, of_smallest, len(basis))
        if norm <= 1e-12 * scale or len(basis) > 2 and max(residuals if both else residuals[:1]) <= tolerance:
            break
        off.append(norm)
        v = w
    return best


def hessian_spectrum(objective: Objective, kind: str = 'surrogate', **kwargs: Any) -> Spectrum:
    """Compute the extreme eigenvalues of the Hessian's symmetric part (H + H^T) / 2.

    Args:
        objective: network and samples.
        kind: 'surrogate' or 'field', see the head of this module.
        **kwargs: steps, tolerance, seed and both, see `extreme_eigenvalues`.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.hessian import hessian_spectrum
        >>> from a2sg_zoo.analysis.measures.objective import Objective
        >>> def half_square(model, inputs, targets):
        ...     return (model(inputs) - targets).square().mean() / 2
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> objective = Objective(model, [(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))], half_square)
        >>> round(hessian_spectrum(objective).largest, 3)  # the mean of x^2: (1 + 9) / 2
        5.0
    """
    return extreme_eigenvalues(Hessian(objective, kind).symmetric, objective.size, **kwargs, **objective.like)


def hessian_trace(
    objective: Objective, kind: str = 'surrogate', vectors: int = 16, seed: int = 0
) -> tuple[float, float | None]:
    """Estimate the trace of the Hessian by Hutchinson's method: tr H = E[v^T H v] for vectors v of random signs.

    Args:
        objective: network and samples.
        kind: 'surrogate' or 'field', see the head of this module.
        vectors: number of random vectors.
        seed: seed of the random vectors.

    Returns:
        (estimate, its standard error). The error is None for one vector.
    """
    hessian = Hessian(objective, kind)
    samples = torch.tensor(
        [float(v @ hessian.transposed(v)) for v in _signs(objective, vectors, seed)], dtype=torch.float64
    )
    return float(samples.mean()), float(samples.std() / math.sqrt(vectors)) if vectors > 1 else None


def _signs(objective, vectors, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(vectors):
        yield (torch.randint(2, (objective.size,), generator=generator) * 2 - 1).to(**objective.like)


def sam_sharpness(objective: Objective, rho: float = 0.05) -> float | None:
    """Compute the rise of the loss in SAM's ascent step: L(w + rho g / |g|) - L(w), where g is the gradient.

    Args:
        objective: network and samples.
        rho: length of the step.

    Returns:
        The rise; None for g = 0.

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
def moved(objective: Objective, step: torch.Tensor) -> Iterator[None]:
    """Within it, the weights are w + step, for a vector step (P,); afterwards they are exactly w again."""
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
