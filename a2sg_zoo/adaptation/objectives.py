"""The objectives of the search, as curves over a grid of candidate widths.

For one layer at one time step delta(beta) = g f(z; beta) + c. At the last step (c = 0) the spatial objective is

    SGV(beta) = Var(delta) / Mean(|delta|),   or   CV(beta) = Std(delta) / Mean(|delta|)

and at earlier steps the temporal objective is -cos(delta(beta), d) with d = delta[t+1] fixed, or -cos(g f, d) where
the gradient comes without its c. Lower is better for all.
Each follows from a few sums over the elements of the layer,

    sum delta,  sum delta^2,  sum |delta|        (spatial)
    sum delta d,  sum delta^2,  sum d^2          (temporal)

`MomentObjective` computes these sums for every candidate at once. For a shape that is linear in a coordinate w inside
its window, f = A(beta) w + B(beta) on |z| <= beta, they are combinations of sums of g, g w, |g|, |g| w, g^2,
g^2 w, g^2 w^2, and g d, g w d, g c, g w c over the elements inside the window. These sums depend on beta only through
the edge of the window, so one pass puts the elements into bins of |z|, and prefix sums give all candidates.

The sums of several searches can be joined in a running mean (`MomentObjective.moments`), which removes noise.

`DirectObjective` evaluates f for each candidate that it is asked about. It serves any shape.

A candidate counts only if its window holds a given share of the elements (`min_inside`), or as large a share as the
widest candidate does where that is less. Without such a limit a search can starve a network: the cosine of the temporal
objective rises when a nearly empty window silences the gradient of its own time step, because what is left is c, and c
is nearly parallel to d. The share is a prefix sum as well.

In data parallel training the sums, not the tensors, are added up over the processes. All processes then see one curve:
that of the whole batch, or of all samples together where each process looks at a sample of its share.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, distributed

from a2sg_zoo.neurons.dynamics import LocalGradient
from a2sg_zoo.surrogates import PiecewiseLinear, Surrogate


class Objective(ABC):
    """A curve over candidate widths, lower is better; inf where a candidate gives no value or does not count.

    Attributes:
        grid: the candidates, ascending, (K,).
        allowed: boolean (K,), which of the candidates may win; None for all.
    """

    def __init__(self, grid: Tensor, allowed: Tensor | None = None) -> None:
        self.grid, self.allowed = grid, allowed

    @abstractmethod
    def curve(self) -> Tensor:
        """The objective at every candidate, (K,), on the device of the layer."""

    @abstractmethod
    def at(self, index: int) -> float:
        """The objective at one candidate, as a Python number."""


def summed_over_processes(sums: Tensor) -> Tensor:
    """`sums` added up over all processes of a data parallel run, in place; unchanged outside of such a run."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(sums)
    return sums


def _spatial(count, total, square, absolute, scale_free):
    mean_abs = absolute / count
    variance = (square / count - (total / count).square()).clamp(min=0)
    value = (variance.sqrt() if scale_free else variance) / mean_abs
    return torch.where(absolute > 0, value, torch.inf)


def _temporal(along, square, square_d):
    norm = (square.clamp(min=0) * square_d).sqrt()
    return torch.where(norm > 0, -along / norm, torch.inf)


def _finish(value, usable, share, widest, min_inside, allowed):
    # Where no element lies inside any window, or something is NaN, no candidate may win.
    wins = usable & (share >= widest.clamp(max=min_inside)) & value.isfinite()
    return torch.where(wins if allowed is None else wins & allowed, value, torch.inf)


class MomentObjective(Objective):
    """All candidates from one pass of moments, for a `PiecewiseLinear` shape.

    Products of gradients are rounded to the precision of the gradients before they are summed in float64: in float32, a
    search is less accurate for gradients below about 1e-20, and the widths stand still below about 1e-22.

    Args:
        surrogate: the shape; for the spatial objective it must be non-negative.
        grid: candidate widths, evenly spaced and ascending, (K,), float64, on the device of the gradient.
        gradient: `LocalGradient` of one time step; the objective is spatial if its d is None, else temporal.
        scale_free: CV in place of SGV.
        min_inside: share of the elements that a window must hold, from 0 to 1.
        allowed: see `Objective`.
    """

    def __init__(
        self,
        surrogate: PiecewiseLinear,
        grid: Tensor,
        gradient: LocalGradient,
        scale_free: bool = False,
        min_inside: float = 0.0,
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__(grid, allowed)
        self.surrogate = surrogate
        self.spatial = gradient.d is None
        self.scale_free, self.min_inside = scale_free, min_inside
        z, g = gradient.z.flatten(), gradient.g.flatten()
        w = surrogate.coordinate(z)
        g_w = g * w
        # each row is a factor, or a product of two
        rows: list[tuple[Tensor, ...]] = [(g, g), (g, g_w), (g_w, g_w)]
        if self.spatial:
            size = g.abs()
            rows += [(g,), (g_w,), (size,), (size, w)]
            scalars = []
        else:
            d = gradient.d.flatten()
            rows += [(g, d), (g_w, d)]
            scalars = [d * d]
            if gradient.c is not None:
                c = gradient.c.flatten()
                rows += [(g, c), (g_w, c)]
                scalars += [c * d, c * c]
        self._rows = 1 + len(rows)
        binned = _histograms(_bins(z, grid), rows, len(grid) + 1)
        packed = [binned.flatten(), *(scalar.sum(dtype=torch.float64)[None] for scalar in scalars)]
        self._moments = summed_over_processes(torch.cat(packed))
        self._values: list[float] | None = None

    @staticmethod
    def most_moments(candidates: int) -> int:
        """The largest number of sums in `moments`: eight rows of bins, and three products of c and d."""
        return 8 * (candidates + 1) + 3

    @property
    def moments(self) -> Tensor:
        """All sums, in one flat float64 tensor. A weighted mean of those of several searches may take their place."""
        return self._moments

    @moments.setter
    def moments(self, moments: Tensor) -> None:
        self._moments, self._values = moments.double(), None

    def curve(self) -> Tensor:
        size = self._rows * (len(self.grid) + 1)
        sums, scalars = self._moments[:size].view(self._rows, -1), self._moments[size:]
        finite = self._moments.sum().isfinite()
        inside = sums[:, :-1].cumsum(1)
        n, gg, ggw, ggww = inside[:4]
        count = n[-1] + sums[0, -1]
        A, B = self.surrogate.coefficients(self.grid)
        square = A * A * ggww + 2 * A * B * ggw + B * B * gg
        if self.spatial:
            g, gw, size, size_w = inside[4:]
            value = _spatial(count, A * gw + B * g, square, A * size_w + B * size, self.scale_free)
        else:
            gd, gwd, *with_c = inside[4:]
            dd, *of_c = scalars
            along = A * gwd + B * gd
            if of_c:
                (gc, gwc), (cd, cc) = with_c, of_c
                along, square = along + cd, square + 2 * (A * gwc + B * gc) + cc
            value = _temporal(along, square, dd)
        share = n / count
        return _finish(value, (gg[-1] > 0) & finite, share, share[-1], self.min_inside, self.allowed)

    def at(self, index: int) -> float:
        if self._values is None:
            self._values = self.curve().tolist()
        return self._values[index]


def _bins(z, grid):
    """Index of the first candidate that reaches |z|; len(grid) if none does. The grid is uniform."""
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    position = ((z.abs() - grid[0]) / step).ceil_()
    return position.nan_to_num_(nan=len(grid)).clamp_(0, len(grid)).long()


def _histograms(bins, rows, size):
    """The number of elements in each bin, and the sum of each row's elements in it, (1 + len(rows), size).

    A row is a tensor, or two that are multiplied.
    """
    values = torch.empty(1 + len(rows), len(bins), dtype=torch.float64, device=bins.device)
    values[0] = 1
    for value, row in zip(values[1:], rows):
        # the product is written where it is needed, rounded as the factors are
        torch.mul(*row, out=value) if len(row) > 1 else value.copy_(*row)
    sums = torch.zeros(len(values), size, dtype=torch.float64, device=bins.device)
    return sums.scatter_add_(1, bins.expand(values.shape), values)


class DirectObjective(Objective):
    """Candidates one by one, for any shape. Arguments as for `MomentObjective`."""

    def __init__(
        self,
        surrogate: Surrogate,
        grid: Tensor,
        gradient: LocalGradient,
        scale_free: bool = False,
        min_inside: float = 0.0,
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__(grid, allowed)
        self.surrogate = surrogate
        self.gradient = type(gradient)(*(None if x is None else x.flatten().double() for x in gradient))
        self.scale_free, self.min_inside = scale_free, min_inside
        # windows are nested: an element outside the widest is outside all of them
        sums = self._sums(grid[-1])
        self._usable, self._widest = (sums[-1] > 0) & sums[-1].isfinite(), sums[-2] / sums[-3]

    def _sums(self, beta):
        z, g, c, d = self.gradient
        through_spike = g * self.surrogate(z, beta)
        delta = through_spike if c is None else through_spike + c
        terms = [delta, delta.square(), delta.abs()] if d is None else [delta * d, delta.square(), d.square()]
        inside = (z.abs() <= beta).to(delta.dtype)
        terms += [torch.ones_like(delta), inside, through_spike.square()]
        return summed_over_processes(torch.stack([x.sum() for x in terms]))

    def _value(self, index):
        *sums, count, inside, _ = self._sums(self.grid[index])
        spatial = self.gradient.d is None
        value = _spatial(count, *sums, self.scale_free) if spatial else _temporal(*sums)
        allowed = None if self.allowed is None else self.allowed[index]
        return _finish(value, self._usable, inside / count, self._widest, self.min_inside, allowed)

    def curve(self) -> Tensor:
        return torch.stack([self._value(index) for index in range(len(self.grid))])

    def at(self, index: int) -> float:
        return float(self._value(index))
