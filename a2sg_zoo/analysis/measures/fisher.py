"""The largest eigenvalue of the empirical Fisher information, for each layer and for the whole network.

    F = 1/N sum_n g_n g_n^T,    g_n = dL_n/dw

g_n is the surrogate gradient of the loss of sample n with its own label, P parameters long. The P x P matrix F is never
stored. Two methods give the same number. Both pass over the samples one at a time:

- Gram: with the gradients as rows of J (N x P), the matrix F = J^T J / N has the same non-zero eigenvalues as the
  N x N matrix J J^T / N. J is computed in slices of columns that fit into `memory`; each slice takes one pass.
- Power iteration: F v = 1/N sum_n g_n (g_n . v). An iteration takes one pass, for all layers at once, and stores two
  vectors of length P.

The Gram matrix of the whole network is the sum of those of its layers.

Source: the empirical Fisher as a measure of curvature is from A2SG (ICML 2026, arXiv 2606.11236).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError

WHOLE = 'whole network'


@dataclass(frozen=True)
class FisherResult:
    """Largest eigenvalues and traces of the empirical Fisher.

    Attributes:
        eigenvalues: {layer, or `WHOLE`: largest eigenvalue}; 0 where no gradient reaches the layer.
        traces: {layer, or `WHOLE`: trace}, the mean of |g_n|^2.
        method: 'gram' or 'power'.
        passes: number of passes over the samples.
        change: largest relative change of an eigenvalue in the last power iteration; 0 for 'gram', which is exact.
    """

    eigenvalues: dict[str, float]
    traces: dict[str, float]
    method: str
    passes: int
    change: float


def fisher_spectrum(
    objective: Objective,
    method: str = 'auto',
    iterations: int = 100,
    tolerance: float = 1e-4,
    memory: float = 4e9,
    seed: int = 0,
) -> FisherResult:
    """Compute the largest eigenvalue and the trace of the empirical Fisher, of each layer and of the whole network.

    Args:
        objective: network and samples.
        method: 'gram', 'power', or 'auto', which takes 'gram' if that needs at most 12 passes over the samples.
        iterations: largest number of power iterations.
        tolerance: power iteration stops when the relative change of every eigenvalue is below this.
        memory: bytes that the method 'gram' may use for gradients.
        seed: seed of the vectors that power iteration starts with.

    Raises:
        A2SGError: a gradient is NaN or infinite, or `method` is unknown.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.fisher import WHOLE, fisher_spectrum
        >>> from a2sg_zoo.analysis.measures.objective import Objective
        >>> def half_square(model, inputs, targets):
        ...     return (model(inputs) - targets).square().mean() / 2
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 0.0)
        >>> objective = Objective(model, [(torch.ones(2, 1), torch.tensor([[1.0], [3.0]]))], half_square)
        >>> fisher_spectrum(objective).eigenvalues[WHOLE]  # the gradients are -1 and -3: (1 + 9) / 2
        5.0
    """
    if method not in ('auto', 'gram', 'power'):
        raise A2SGError(f"fisher: method must be 'auto', 'gram' or 'power', got {method!r}")
    columns = max(1, int(memory / (objective.samples * objective.parameters[0].element_size())))
    passes = -(-objective.size // columns)
    if method == 'gram' or method == 'auto' and passes <= 12:
        grams = gram_matrices(objective, columns)
        eigenvalues, traces = {}, {}
        for name, gram in grams.items():
            _check_finite(name, gram.trace())
            eigenvalues[name] = largest_eigenvalue(gram) / objective.samples
            traces[name] = float(gram.trace()) / objective.samples
        return FisherResult(eigenvalues, traces, 'gram', passes, 0.0)
    return _power(objective, iterations, tolerance, seed)


def _check_finite(name, value):
    if not math.isfinite(value):
        raise A2SGError(
            f'{name}: the gradient of a sample is NaN or infinite, so the Fisher is not defined; check that data and '
            'loss are finite'
        )


def largest_eigenvalue(gram: torch.Tensor) -> float:
    """Return the largest eigenvalue of a Gram matrix; at least 0, because rounding may make a zero negative."""
    return max(0.0, float(torch.linalg.eigvalsh(gram)[-1]))


def gram_matrices(objective: Objective, columns: int) -> dict[str, torch.Tensor]:
    """Compute the Gram matrices J J^T, where row n of J is the gradient of sample n.

    Args:
        objective: network and samples.
        columns: number of columns of J that are stored at once; each slice takes one pass over the samples.

    Returns:
        {layer, and `WHOLE`: J J^T (N, N), float64}.
    """
    N = objective.samples
    grams: dict[str, torch.Tensor] = {}
    owner = {i: name for name, indices in objective.layers.items() for i in indices}
    for pieces in slice_columns([p.numel() for p in objective.parameters], columns):
        rows = {piece: torch.empty(N, piece[2] - piece[1], **objective.like) for piece in pieces}
        for n, gradients in enumerate(objective.sample_gradients()):
            for i, start, stop in pieces:
                rows[i, start, stop][n] = gradients[i].flatten()[start:stop]
        for (i, _, _), part in rows.items():
            name = owner[i]
            grams[name] = grams.get(name, torch.zeros(N, N, dtype=torch.float64)) + gram_matrix(part)
    # in the order of the network, not of the slices
    grams = {name: grams[name] for name in objective.layers}
    grams[WHOLE] = torch.zeros(N, N, dtype=torch.float64)
    for name in objective.layers:
        grams[WHOLE] += grams[name]
    return grams


def gram_matrix(rows: torch.Tensor, others: torch.Tensor | None = None, chunk: int = 1 << 16) -> torch.Tensor:
    """Compute rows others^T in float64, on the CPU; `chunk` columns at a time are copied to float64.

    Args:
        rows: (N, columns).
        others: (N, columns); by default `rows`.
        chunk: number of columns of a copy.
    """
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], chunk):
        part = rows[:, start : start + chunk].double()
        gram += part @ (part if others is None else others[:, start : start + chunk].double()).T
    return gram.cpu()


def slice_columns(sizes: Sequence[int], columns: int) -> list[list[tuple[int, int, int]]]:
    """Divide tensors into slices (number of the tensor, start, stop) and group them.

    Args:
        sizes: number of elements of each tensor.
        columns: largest number of elements in a group.

    Returns:
        Groups of slices that cover all elements.

    Example:
        >>> from a2sg_zoo.analysis.measures.fisher import slice_columns
        >>> slice_columns([3, 4], columns=5)
        [[(0, 0, 3), (1, 0, 2)], [(1, 2, 4)]]
    """
    lists: list[list[tuple[int, int, int]]] = [[]]
    room = columns
    for i, size in enumerate(sizes):
        start = 0
        while start < size:
            if room == 0:
                lists.append([])
                room = columns
            stop = min(size, start + room)
            lists[-1].append((i, start, stop))
            room -= stop - start
            start = stop
    return lists


def _power(objective, iterations, tolerance, seed):
    groups = {**objective.layers, WHOLE: range(len(objective.parameters))}
    generator = torch.Generator().manual_seed(seed)
    vectors = {
        name: _unit(
            [torch.randn(objective.parameters[i].shape, generator=generator).to(**objective.like) for i in group]
        )
        for name, group in groups.items()
    }
    traces, values, change = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0.0), 0.0
    for passes in range(1, iterations + 1):
        products = {name: [torch.zeros_like(x) for x in vector] for name, vector in vectors.items()}
        for gradients in objective.sample_gradients():
            for name, group in groups.items():
                inner = sum(torch.sum(gradients[i] * x) for i, x in zip(group, vectors[name]))
                for i, x in zip(group, products[name]):
                    x.add_(gradients[i] * inner)
                if passes == 1:
                    traces[name] += sum(float(gradients[i].square().sum()) for i in group) / objective.samples
        before, values = values, {name: _norm(product) / objective.samples for name, product in products.items()}
        for name, value in values.items():
            _check_finite(name, value)
        vectors = {name: _unit(product) for name, product in products.items()}
        change = max(abs(values[name] - before[name]) / values[name] if values[name] else 0.0 for name in groups)
        if change <= tolerance:
            break
    return FisherResult(values, traces, 'power', passes, change)


def _norm(tensors):
    return float(torch.stack([x.double().square().sum() for x in tensors]).sum().sqrt())


def _unit(tensors):
    norm = _norm(tensors)
    return [x / norm for x in tensors] if norm else tensors
