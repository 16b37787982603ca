"""Shapes that are linear inside their window and zero outside: ASY, TRI, BOX.

On |z| <= beta each is f = slope(beta) * w + offset(beta), where the coordinate w is z or |z|. That form is
what makes the search for beta nearly free: see `a2sg_zoo.adaptation.moments`.
"""

import math
import warnings
from abc import abstractmethod

import torch

from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates.base import Surrogate, positive


class PiecewiseLinear(Surrogate):
    """f(z; beta) = slope(beta) * w + offset(beta) on |z| <= beta, else 0.

    Attributes:
        even: True if w = |z| (a symmetric shape), False if w = z.
        non_negative: True if f >= 0 everywhere, so that |g f| = |g| f.
    """

    even = True
    non_negative = True

    @abstractmethod
    def coefficients(self, beta):
        """(slope, offset) for a window `beta`, which may be a number or a tensor of candidates."""

    def area(self, beta):
        """The integral of f over z."""
        slope, offset = self.coefficients(beta)
        return 2 * beta * offset + (slope * beta**2 if self.even else 0)

    def coordinate(self, z):
        return z.abs() if self.even else z

    def __call__(self, z, beta):
        slope, offset = self.coefficients(beta)
        distance = z.abs()
        # a comparison written as numbers, and a product: several times as fast as a masked fill on a CPU
        inside = torch.le(distance.detach(), beta, out=torch.empty_like(distance, requires_grad=False))
        return ((distance if self.even else z) * slope).add_(offset).mul_(inside)


@SURROGATES.register_module()
class ASY(PiecewiseLinear):
    """The asymmetric shape of A2SG: f(z) = z / (2 beta) + h on |z| <= beta, else 0.

    It rises from h - 1/2 to h + 1/2, so that neurons with a higher membrane potential receive more of the
    gradient; its area is 2 beta h. The paper leaves h open. h = 1/2, the default here, is the smallest bias
    that never reverses a gradient's sign; a smaller one is allowed, and warned about.

    Args:
        beta: half-width of the window, in the unit of u.
        h: the gradient bias; dimensionless.

    Source: A2SG (ICML 2026, arXiv 2606.11236), the definition of the asymmetric surrogate.
    """

    even = False

    def __init__(self, beta=1.0, h=0.5):
        super().__init__(beta)
        if isinstance(h, bool) or not isinstance(h, (int, float)) or not math.isfinite(h):
            raise TypeError(f'ASY: h must be a finite number, got {h!r}')
        if h < 0.5:
            warnings.warn(
                f'ASY with h = {h} < 1/2 is negative for z < {-2 * h:g} beta: it reverses the sign of the '
                'gradient there',
                stacklevel=2,
            )
        self.h = float(h)

    @property
    def non_negative(self):
        return self.h >= 0.5

    def coefficients(self, beta):
        return 0.5 / beta, self.h


@SURROGATES.register_module()
class TRI(PiecewiseLinear):
    """The triangle: f(z) = max(0, 1 - |z| / beta), times 1 / beta for area 1.

    Args:
        beta: half-width of the window, in the unit of u.
        normalize: 'area' (area 1, peak 1 / beta) or 'peak' (peak 1, area beta). Published code uses both. Under
            'area' the spatial objective of an adaptive policy has no inner minimum (the widest window wins), so
            adaptive policies default to 'peak'.

    Source: Esser et al. 2016 and Bellec et al. 2018; called TRI in the A2SG paper.
    """

    def __init__(self, beta=1.0, normalize='area'):
        super().__init__(beta)
        self.normalize = _normalization(normalize, self)

    def coefficients(self, beta):
        peak = 1 / beta if self.normalize == 'area' else 1.0
        return -peak / beta, peak


@SURROGATES.register_module()
class BOX(PiecewiseLinear):
    """The rectangle: f(z) = 1 / (2 beta) for area 1, or 1 for peak 1, on |z| <= beta, else 0.

    Args:
        beta: half-width of the window, in the unit of u.
        normalize: 'area' or 'peak', as for `TRI`. Neither gives the spatial objective an inner minimum.

    Source: Wu et al. 2018 (STBP).
    """

    def __init__(self, beta=1.0, normalize='area'):
        super().__init__(beta)
        self.normalize = _normalization(normalize, self)

    def coefficients(self, beta):
        return 0.0, 0.5 / beta if self.normalize == 'area' else 1.0


@SURROGATES.register_module()
class PiecewiseQuadratic(TRI):
    """The triangle under the field's other name and parameter: f(z) = max(0, alpha - alpha^2 |z|).

    The primitive is piecewise quadratic, hence the name in the literature and in spikingjelly. It is `TRI` of
    area 1 with beta = 1 / alpha.
    """

    def __init__(self, alpha=1.0):
        super().__init__(1 / positive('alpha', alpha, self), normalize='area')


class UnitArea(PiecewiseLinear):
    """Another shape divided by its area: f(z; beta) / integral of f(.; beta).

    So a layer passes on as much gradient with a wide window as with a narrow one, for a density of u that is flat.

    Args:
        shape: a `PiecewiseLinear`.
    """

    def __init__(self, shape):
        super().__init__(shape.beta)
        self.shape, self.even = shape, shape.even

    @property
    def non_negative(self):
        return self.shape.non_negative

    def coefficients(self, beta):
        slope, offset = self.shape.coefficients(beta)
        area = self.shape.area(beta)
        return slope / area, offset / area


def _normalization(value, owner):
    if value not in ('area', 'peak'):
        raise ValueError(f"{type(owner).__name__}: normalize must be 'area' or 'peak', got {value!r}")
    return value
