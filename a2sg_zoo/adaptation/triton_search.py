"""The exact search of a layer on a CUDA device, in Triton: two kernels a time step.

The search of `objectives` and `ExactSearcher` takes some hundred small operations a time step. On a GPU each costs the
host more time to start than the device to run. Here, from the last time step to the first, one kernel computes the
local gradients of a time step and adds up the moments, and a second one turns them into the curve and takes its lowest
point, which the next time step begins with. The arithmetic is that of `local_gradients` and `MomentObjective`; sums in
float64 are added in another order.

`SearchTable` holds what a policy's searches have in common, `search` runs one for a layer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.neurons import LayerGradients
from a2sg_zoo.neurons.triton_kernels import filled, local_gradient, shape_at, tl, triton
from a2sg_zoo.surrogates import PiecewiseLinear

_BLOCK = 1024
# sums over the elements of each bin, and over all elements
_ROWS, _SCALARS = 8, 3


class SearchTable(NamedTuple):
    """What the searches of a policy have in common, for layers of one threshold.

    Attributes:
        numbers: float64, on the device: the candidates; for each of them slope and offset of the searched shape, of the
            applied shape, and of the applied shape in float32; the trust (0 for none), half a step of the grid, and
            min_inside.
        candidates: number of candidates.
        low: the first candidate.
        step: distance between candidates.
        shape: the applied shape.
        scale_free, spatial, with_c, trusted: whether the objective of the last time step is CV, whether the last time
            step is searched at all, whether c counts in the temporal objective, and whether there is a trust.
    """

    numbers: Tensor
    candidates: int
    low: float
    step: float
    shape: PiecewiseLinear
    scale_free: bool
    spatial: bool
    with_c: bool
    trusted: bool


class Found(NamedTuple):
    """What a search found in a layer: `widths` (T,), float32, and which of them lie `on_bound` of the grid, (T,)."""

    widths: Tensor
    on_bound: Tensor


def search_table(
    grid: Tensor,
    low: float,
    high: float,
    searched: PiecewiseLinear,
    applied: PiecewiseLinear,
    scale_free: bool,
    spatial: bool,
    with_c: bool,
    trust: float | None,
    min_inside: float,
    device: torch.device,
) -> SearchTable:
    """The table of a policy's searches, on `device`.

    Args:
        grid: candidate widths in the unit of u, evenly spaced and ascending, (K,), float64.
        low, high: the first and the last of them.
        searched: shape of the spatial objective.
        applied: shape of the temporal objective, which acts in the backward pass.
        scale_free, spatial, with_c: see `SearchTable`.
        trust, min_inside: see `AdaptivePolicy`.
        device: where the layers are.
    """
    pairs = [*searched.coefficients(grid), *applied.coefficients(grid), *applied.coefficients(grid.float())]
    rows = [grid, *(filled(value, grid) for value in pairs)]
    more = (grid[1] - grid[0])[None] / 2
    constants = [grid.new_tensor([trust or 0.0]), more, grid.new_tensor([min_inside])]
    step = (high - low) / (len(grid) - 1)
    numbers = torch.cat([*rows, *constants]).to(device)
    return SearchTable(numbers, len(grid), low, step, applied, scale_free, spatial, with_c, trust is not None)


def search(gradients: LayerGradients, in_force: Tensor, table: SearchTable) -> Found:
    """Search the widths of all time steps of a layer, or of a chunk of its sequence.

    Args:
        gradients: of the layer, or of a sample of its elements.
        in_force: widths that stay where a search has nothing to decide by, (T,) or (1,), float32.
        table: see `SearchTable`.
    """
    u, grad_s, grad_u, dynamics = gradients.u, gradients.grad_s, gradients.grad_u, gradients.dynamics
    (T, N), K, device = u.shape, table.candidates, u.device
    decay = dynamics.coefficients(gradients.rate)[0]
    if isinstance(decay, Tensor):  # of a learned rate
        decay = decay.detach().float()
    widths = in_force.expand(T).clone()
    # row t of `window` holds slope and offset of the width at t
    window = torch.stack([filled(value, widths) for value in table.shape.coefficients(widths)], 1)
    on_bound = torch.zeros(T, dtype=torch.int32, device=device)
    sums = torch.zeros(T, _ROWS * (K + 1) + _SCALARS, dtype=torch.float64, device=device)
    later = gradients.later
    delta = u.new_empty(N, dtype=torch.float32) if later is None else later.float().clone()
    for t in range(T - 1, -1, -1):
        last = later is None and t == T - 1
        if last and not table.spatial:
            continue
        if N:  # another process may have elements
            _moments[(triton.cdiv(N, _BLOCK),)](
                u[t:],
                grad_s[t:],
                None if grad_u is None else grad_u[t:],
                delta,
                widths[t:],
                window[t:],
                sums[t],
                N,
                u.stride(0),
                grad_s.stride(0),
                0 if grad_u is None else grad_u.stride(0),
                decay,
                dynamics.v_threshold,
                dynamics.v_reset,
                table.low,
                table.step,
                LAST=last,
                # whether delta holds d already; else it holds delta of the time step after, unless there is none
                READY=t == T - 1,
                ENDS=later is None and t == T - 2,
                HARD=dynamics.hard_reset,
                DETACHED=dynamics.detach_reset,
                LEARNED=isinstance(decay, Tensor),
                EVEN=table.shape.even,
                K=K,
                BLOCK=_BLOCK,
                enable_fp_fusion=False,
            )
        _choose[(1,)](
            summed_over_processes(sums[t]),
            table.numbers,
            widths[t:],
            window[t:],
            on_bound[t:],
            SPATIAL=last,
            SCALE_FREE=table.scale_free,
            WITH_C=table.with_c,
            TRUSTED=table.trusted,
            K=K,
            SIZE=triton.next_power_of_2(K),
            enable_fp_fusion=False,
        )
    return Found(widths, on_bound)


if triton is not None:

    @triton.jit
    def _moments(
        u,
        grad_s,
        grad_u,
        delta,
        widths,
        window,
        sums,
        N,
        stride_u,
        stride_s,
        stride_grad_u,
        decay,
        v_threshold,
        v_reset,
        low,
        step,
        LAST: tl.constexpr,
        READY: tl.constexpr,
        ENDS: tl.constexpr,
        HARD: tl.constexpr,
        DETACHED: tl.constexpr,
        LEARNED: tl.constexpr,
        EVEN: tl.constexpr,
        K: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        if LEARNED:
            decay = tl.load(decay)
        n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = n < N
        d = tl.zeros((BLOCK,), tl.float32)
        if not LAST:
            if READY:
                d = tl.load(delta + n, mask=inside, other=0.0)
            else:
                carry = tl.zeros((BLOCK,), tl.float32)
                if not ENDS:
                    carry = tl.load(delta + n, mask=inside, other=0.0) * decay
                direct = grad_u
                if grad_u is not None:
                    direct = grad_u + stride_grad_u
                z, g, c = local_gradient(
                    u + stride_u, grad_s + stride_s, direct, carry, n, inside, v_threshold, v_reset, HARD, DETACHED
                )
                d = g * shape_at(z, widths + 1, window + 2, window + 3, EVEN) + c
                tl.store(delta + n, d, mask=inside)
        z, g, c = local_gradient(u, grad_s, grad_u, d * decay, n, inside, v_threshold, v_reset, HARD, DETACHED)
        distance = tl.abs(z)
        position = tl.ceil(tl.div_rn(distance - low, step))
        position = tl.where(position == position, tl.minimum(tl.maximum(position, 0.0), K), K)
        at = sums + position.to(tl.int32)
        w = distance if EVEN else z
        g_w = g * w
        _add(at, tl.full((BLOCK,), 1.0, tl.float32), inside)
        _add(at + (K + 1), g * g, inside)
        _add(at + 2 * (K + 1), g * g_w, inside)
        _add(at + 3 * (K + 1), g_w * g_w, inside)
        if LAST:
            size = tl.abs(g)
            _add(at + 4 * (K + 1), g, inside)
            _add(at + 5 * (K + 1), g_w, inside)
            _add(at + 6 * (K + 1), size, inside)
            _add(at + 7 * (K + 1), size * w, inside)
        else:
            _add(at + 4 * (K + 1), g * d, inside)
            _add(at + 5 * (K + 1), g_w * d, inside)
            _add(at + 6 * (K + 1), g * c, inside)
            _add(at + 7 * (K + 1), g_w * c, inside)
            whole = sums + 8 * (K + 1)
            tl.atomic_add(whole, _total(d * d, inside), sem='relaxed')
            tl.atomic_add(whole + 1, _total(c * d, inside), sem='relaxed')
            tl.atomic_add(whole + 2, _total(c * c, inside), sem='relaxed')

    @triton.jit
    def _add(place, value, mask):
        tl.atomic_add(place, value.to(tl.float64), mask=mask, sem='relaxed')

    @triton.jit
    def _total(value, inside):
        return tl.sum(tl.where(inside, value.to(tl.float64), 0.0), 0)

    @triton.jit
    def _finite(x):
        return x - x == 0.0

    @triton.jit
    def _choose(
        sums,
        table,
        widths,
        window,
        on_bound,
        SPATIAL: tl.constexpr,
        SCALE_FREE: tl.constexpr,
        WITH_C: tl.constexpr,
        TRUSTED: tl.constexpr,
        K: tl.constexpr,
        SIZE: tl.constexpr,
    ):
        k = tl.arange(0, SIZE)
        inside = k < K
        rows = sums + k
        n = tl.load(rows, mask=inside, other=0.0)
        gg = tl.load(rows + (K + 1), mask=inside, other=0.0)
        ggw = tl.load(rows + 2 * (K + 1), mask=inside, other=0.0)
        ggww = tl.load(rows + 3 * (K + 1), mask=inside, other=0.0)
        a = tl.load(rows + 4 * (K + 1), mask=inside, other=0.0)
        b = tl.load(rows + 5 * (K + 1), mask=inside, other=0.0)
        e = tl.load(rows + 6 * (K + 1), mask=inside, other=0.0)
        h = tl.load(rows + 7 * (K + 1), mask=inside, other=0.0)
        # every sum counts for whether all are finite, those beyond the widest candidate too
        beyond = tl.load(sums + K)
        total = tl.sum(n + gg + ggw + ggww + a + b + e + h, 0)
        for row in tl.static_range(8):
            total += tl.load(sums + row * (K + 1) + K)
        zeros = tl.zeros((SIZE,), tl.float64)
        count, usable = tl.sum(n, 0) + beyond, zeros + tl.sum(gg, 0) > 0.0
        widest = tl.sum(n, 0) / count
        n, gg, ggw, ggww = tl.cumsum(n, 0), tl.cumsum(gg, 0), tl.cumsum(ggw, 0), tl.cumsum(ggww, 0)
        a, b, e, h = tl.cumsum(a, 0), tl.cumsum(b, 0), tl.cumsum(e, 0), tl.cumsum(h, 0)
        first = K if SPATIAL else 3 * K
        A = tl.load(table + first + k, mask=inside, other=0.0)
        B = tl.load(table + first + K + k, mask=inside, other=0.0)
        square = A * A * ggww + 2 * A * B * ggw + B * B * gg
        if SPATIAL:
            absolute = A * h + B * e
            mean = (A * b + B * a) / count
            variance = square / count - mean * mean
            variance = tl.where(variance < 0.0, 0.0, variance)
            defined = absolute > 0.0
            value = (tl.sqrt(variance) if SCALE_FREE else variance) / (tl.where(defined, absolute, 1.0) / count)
        else:
            dd, cd, cc = tl.load(sums + 8 * (K + 1)), tl.load(sums + 8 * (K + 1) + 1), tl.load(sums + 8 * (K + 1) + 2)
            along = A * b + B * a
            if WITH_C:
                along, square = along + cd, square + 2 * (A * h + B * e) + cc
            total += dd + cd + cc
            norm = tl.sqrt(tl.where(square < 0.0, 0.0, square) * dd)
            defined = norm > 0.0
            value = -along / tl.where(defined, norm, 1.0)
        candidates = tl.load(table + k, mask=inside, other=0.0)
        in_force = tl.load(widths)
        constants = table + 7 * K
        limit = tl.load(constants + 2)
        wins = inside & defined & usable & _finite(zeros + total) & _finite(value)
        wins = wins & (n / count >= tl.where(widest < limit, widest, limit))
        if TRUSTED:
            trust, more = tl.load(constants), tl.load(constants + 1)
            lowest, highest = tl.load(table), tl.load(table + K - 1)
            near = tl.minimum(tl.maximum(in_force.to(tl.float64), lowest), highest)
            wins = wins & (candidates >= near / trust - more) & (candidates <= near * trust + more)
        best, index = tl.min(tl.where(wins, value, float('inf')), 0, return_indices=True)
        if _finite(best):
            tl.store(widths, tl.load(table + index).to(in_force.dtype))
            tl.store(window, tl.load(table + 5 * K + index).to(in_force.dtype))
            tl.store(window + 1, tl.load(table + 6 * K + index).to(in_force.dtype))
            tl.store(on_bound, tl.where(index == 0, 1, tl.where(index == K - 1, 1, 0)))
