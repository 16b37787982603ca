"""The objectives of the search, as curves over a grid of candidate windows.

For one layer at one time step delta(beta) = g f(z; beta) + c. At the last step (c = 0) the spatial objective is

    SGV(beta) = Var(delta) / Mean(|delta|),   or   CV(beta) = Std(delta) / Mean(|delta|)

and at earlier steps the temporal one is -cos(delta(beta), d) with d = delta[t+1] fixed: lower is better for all.
Each follows from a handful of sums over the layer's elements,

    sum delta,  sum delta^2,  sum |delta|        (spatial)
    sum delta d,  sum delta^2,  sum d^2          (temporal)

`MomentObjective` gets these sums for every candidate at once. For a shape that is linear in a coordinate w inside
its window, f = A(beta) w + B(beta) on |z| <= beta, they are combinations of sums of g, g w, |g|, |g| w, g^2,
g^2 w, g^2 w^2, and g d, g w d, g c, g w c over the elements inside the window, which do not depend on beta but
through the window's edge: one pass puts the elements into bins of |z|, and prefix sums give all windows.

`DirectObjective` evaluates f for each candidate it is asked about: it serves any shape.

In data parallel training the sums, not the tensors, are added up over the processes, so that all of them see one
curve: that of the whole batch, or, where each looks at a sample of its share, of all samples together.
"""

from abc import ABC, abstractmethod

import torch
from torch import distributed


class Objective(ABC):
    """A curve over candidate windows, lower is better; inf where a window gives no value.

    Attributes:
        grid: the candidates, ascending, (K,).
    """

    def __init__(self, grid):
        self.grid = grid

    @abstractmethod
    def curve(self):
        """The objective at every candidate, (K,), on the device of the layer."""

    @abstractmethod
    def at(self, index):
        """The objective at one candidate, as a Python number."""


def summed_over_processes(sums):
    """`sums` added up over all processes of a data parallel run, in place; as they are outside of one."""
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


def _finish(value, reached, finite):
    # where no element lies inside any window, or something is NaN, no candidate may win
    return torch.where(reached & finite & value.isfinite(), value, torch.inf)


class MomentObjective(Objective):
    """All candidates from one pass of moments, for a `PiecewiseLinear` shape.

    Args:
        surrogate: the shape; for the spatial objective it must be non-negative.
        grid: candidate windows, evenly spaced and ascending, (K,), float64, on the gradient's device.
        gradient: `LocalGradient` of one time step; a spatial objective if its d is None, else a temporal one.
        scale_free: CV in place of SGV.
    """

    def __init__(self, surrogate, grid, gradient, scale_free=False):
        super().__init__(grid)
        self.surrogate = surrogate
        self.spatial = gradient.d is None
        self.scale_free = scale_free
        z, g = gradient.z.flatten(), gradient.g.flatten()
        w = surrogate.coordinate(z)
        g_w = g * w
        rows = [g, g_w, g * g, g * g_w, g_w * g_w]
        if self.spatial:
            rows += [g.abs(), g.abs() * w]
            scalars = [torch.ones_like(g)]
        else:
            c, d = gradient.c.flatten(), gradient.d.flatten()
            rows += [g * d, g_w * d, g * c, g_w * c]
            scalars = [c * d, c * c, d * d]
        bins = _bins(z, grid)
        self.sums, self.scalars = self._reduce(bins, rows, scalars)
        self._values = None

    def _reduce(self, bins, rows, scalars):
        K = len(self.grid)
        binned = _histograms(bins, rows, K + 1)
        scalar = torch.stack([s.sum(dtype=torch.float64) for s in scalars])
        packed = summed_over_processes(torch.cat([binned.flatten(), scalar]))
        return packed[: binned.numel()].view_as(binned), packed[binned.numel() :]

    def curve(self):
        finite = self.sums.sum().isfinite() & self.scalars.sum().isfinite()
        inside = self.sums[:, :-1].cumsum(1)
        g, gw, gg, ggw, ggww = inside[:5]
        A, B = self.surrogate.coefficients(self.grid)
        square = A * A * ggww + 2 * A * B * ggw + B * B * gg
        if self.spatial:
            value = _spatial(self.scalars[0], A * gw + B * g, square, A * inside[6] + B * inside[5], self.scale_free)
        else:
            gd, gwd, gc, gwc = inside[5:]
            cd, cc, dd = self.scalars
            value = _temporal(A * gwd + B * gd + cd, square + 2 * (A * gwc + B * gc) + cc, dd)
        return _finish(value, gg[-1] > 0, finite)

    def at(self, index):
        if self._values is None:
            self._values = self.curve().tolist()
        return self._values[index]


def _bins(z, grid):
    """Index of the first candidate that reaches |z|; len(grid) if none does. The grid is uniform."""
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    position = ((z.abs() - grid[0]) / step).ceil_()
    return position.nan_to_num_(nan=len(grid)).clamp_(0, len(grid)).long()


def _histograms(bins, rows, size):
    """The sum of each row's elements in each bin, (len(rows), size)."""
    if bins.is_cuda:  # where a call costs more than its work
        sums = torch.zeros(len(rows), size, dtype=torch.float64, device=bins.device)
        return sums.index_add_(1, bins, torch.stack(rows).double())
    return torch.stack([torch.bincount(bins, row, size) for row in rows])


class DirectObjective(Objective):
    """Candidates one by one, for any shape. Arguments as for `MomentObjective`."""

    def __init__(self, surrogate, grid, gradient, scale_free=False):
        super().__init__(grid)
        self.surrogate = surrogate
        self.gradient = type(gradient)(*(None if x is None else x.flatten().double() for x in gradient))
        self.scale_free = scale_free
        # windows are nested, so what the widest does not reach no other does
        reached = self._sums(grid[-1])[-1]
        self._usable = reached > 0, reached.isfinite()

    def _sums(self, beta):
        z, g, c, d = self.gradient
        through_spike = g * self.surrogate(z, beta)
        delta = through_spike if c is None else through_spike + c
        if d is None:
            terms = [torch.ones_like(delta), delta, delta.square(), delta.abs()]
        else:
            terms = [delta * d, delta.square(), d.square()]
        return summed_over_processes(torch.stack([x.sum() for x in (*terms, through_spike.square())]))

    def _value(self, beta):
        sums = self._sums(beta)[:-1]
        return _temporal(*sums) if self.gradient.c is not None else _spatial(*sums, self.scale_free)

    def curve(self):
        return _finish(torch.stack([self._value(beta) for beta in self.grid]), *self._usable)

    def at(self, index):
        return float(_finish(self._value(self.grid[index]), *self._usable))
