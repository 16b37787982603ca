"""The largest eigenvalue of the empirical Fisher information, for each layer and for the whole network.

    F = 1/N sum_n g_n g_n^T,    g_n = dL_n/dw, the surrogate gradient of sample n's loss under its own label

F is never formed. Two ways lead to the same number, both in passes over the samples, one at a time:

- Gram: with the gradients as rows of J (N x P), F = J^T J / N has the non-zero eigenvalues of J J^T / N, which is
  N x N. J is walked through in slices of columns that fit `memory`; each slice takes one pass.
- Power iteration: F v = 1/N sum_n g_n (g_n . v), one pass an iteration for all layers at once. Two vectors of P.

The whole network's Gram matrix is the sum of its layers'. Source of the trick: the equality of the spectra of A^T A
and A A^T; of the empirical Fisher as a measure of curvature here: A2SG (ICML 2026, arXiv 2606.11236).
"""

import math
from dataclasses import dataclass

import torch

from a2sg_zoo.errors import A2SGError

WHOLE = 'whole network'


@dataclass(frozen=True)
class FisherResult:
    """Attributes:
    eigenvalues: {layer, or `WHOLE`: largest eigenvalue}. 0 where no gradient reaches the layer.
    traces: {layer, or `WHOLE`: trace}, the mean of |g_n|^2.
    method: 'gram' or 'power'.
    passes: over the samples.
    change: largest relative change of an eigenvalue in the last power iteration; 0 for Gram, which is exact.
    """

    eigenvalues: dict
    traces: dict
    method: str
    passes: int
    change: float


def fisher(objective, method='auto', iterations=100, tolerance=1e-4, memory=4e9, seed=0):
    """The largest eigenvalues of the empirical Fisher.

    Args:
        objective: an `Objective`.
        method: 'gram', 'power', or 'auto': that with fewer passes, counted with a dozen for the power iteration.
        iterations: bound on the number of power iterations.
        tolerance: relative change of every eigenvalue at which they stop.
        memory: bytes that the Gram method may hold in gradients.
        seed: of the vectors that power iteration starts from.

    Returns:
        FisherResult.

    Raises:
        A2SGError: a gradient is NaN or infinite.
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
            f'{name}: the gradient of a sample is NaN or infinite, so there is no Fisher; are the data and '
            'the loss finite?'
        )


def largest_eigenvalue(gram):
    """Of a symmetric matrix; not below 0, for Gram matrices, whose zeros may round to less."""
    return max(0.0, float(torch.linalg.eigvalsh(gram)[-1]))


def gram_matrices(objective, columns):
    """{layer, and `WHOLE`: J J^T}, float64 (N, N), in passes that each hold `columns` columns of J."""
    N, grams = objective.samples, {}
    owner = {i: name for name, indices in objective.layers.items() for i in indices}
    for pieces in _slices([p.numel() for p in objective.parameters], columns):
        rows = {piece: torch.empty(N, piece[2] - piece[1], **objective.like) for piece in pieces}
        for n, gradients in enumerate(objective.sample_gradients()):
            for i, start, stop in pieces:
                rows[i, start, stop][n] = gradients[i].flatten()[start:stop]
        for (i, _, _), part in rows.items():
            name = owner[i]
            grams[name] = grams.get(name, torch.zeros(N, N, dtype=torch.float64)) + _gram(part)
    # the order of the network, not that of the slices
    grams = {name: grams[name] for name in objective.layers}
    grams[WHOLE] = sum(grams.values())
    return grams


def _gram(rows, others=None, chunk=1 << 16):
    """rows others^T (rows^T by default) in float64; not all columns are copied to it at once."""
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], chunk):
        part = rows[:, start : start + chunk].double()
        gram += part @ (part if others is None else others[:, start : start + chunk].double()).T
    return gram.cpu()


def _slices(sizes, columns):
    """Lists of (tensor, start, stop) that together cover all elements, at most `columns` of them a list."""
    lists, room = [[]], columns
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
