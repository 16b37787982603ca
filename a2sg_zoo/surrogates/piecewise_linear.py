"""Shapes that are linear inside their window and zero outside: ASY, TRI, BOX.

On |z| <= beta each is f = slope(beta) * w + offset(beta), where the coordinate w is z or |z|. This form makes the
search for beta nearly free: see `a2sg_zoo.adaptation.MomentObjective`.
"""

import warnings
from abc import abstractmethod
from typing import TypeGuard

import torch
from torch import Tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates.base import Surrogate
from a2sg_zoo.utils.checks import number, positive


class PiecewiseLinear(Surrogate):
    """f(z; beta) = slope(beta) * w + offset(beta) on |z| <= beta, else 0.

    Attributes:
        even: True if w = |z| (a symmetric shape), False if w = z.
        non_negative: True if f >= 0 everywhere, so that |g f| = |g| f.
    """

    even = True
    non_negative = True

    @abstractmethod
    def coefficients(self, beta: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """(slope, offset) for a width `beta`, which may be a number or a tensor of candidates."""

    def area(self, beta: float | Tensor) -> float | Tensor:
        """The integral of f over z.

        >>> TRI().area(0.5), ASY(h=1.0).area(0.5)
        (1.0, 1.0)
        """
        slope, offset = self.coefficients(beta)
        return 2 * beta * offset + (slope * beta**2 if self.even else 0)

    def norm(self, beta: float | Tensor) -> float | Tensor:
        """The square root of the integral of f^2 over z.

        >>> round(ASY(h=0.5).norm(1.5), 6), round(TRI(normalize='peak').norm(1.5), 6)
        (1.0, 1.0)
        """
        slope, offset = self.coefficients(beta)
        mixed = slope * offset * beta**2 if self.even else 0
        return (2 * (slope**2 * beta**3 / 3 + mixed + offset**2 * beta)) ** 0.5

    def coordinate(self, z: Tensor) -> Tensor:
        """w: |z| for an even shape, z for another."""
        return z.abs() if self.even else z

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        slope, offset = self.coefficients(beta)
        distance = z.abs()
        # a comparison that writes numbers, and a product, are several times as fast as a masked fill on a CPU
        inside = torch.le(distance.detach(), beta, out=torch.empty_like(distance, requires_grad=False))
        return ((distance if self.even else z) * slope).add_(offset).mul_(inside)


def is_linear(shape: Surrogate) -> TypeGuard[PiecewiseLinear]:
    """Whether `coefficients` and `even` describe a shape: a `PiecewiseLinear` that computes f and w as that class does.

    Searches and kernels take such a shape by its coefficients, and any other by its `__call__`.
    """
    names = '__call__', 'coordinate'
    return isinstance(shape, PiecewiseLinear) and all(
        getattr(type(shape), name) is getattr(PiecewiseLinear, name) for name in names
    )


@SURROGATES.register_module()
class ASY(PiecewiseLinear):
    """The asymmetric shape of A2SG: f(z) = z / (2 beta) + h on |z| <= beta, else 0.

    It rises from h - 1/2 to h + 1/2, so neurons with a higher membrane potential receive more of the gradient. Its
    area is 2 beta h. The paper leaves h open. The default here, h = 1/2, is the smallest bias that never reverses the
    sign of a gradient. A smaller h is allowed, with a warning.

    Args:
        beta: width (half of the support), in the unit of u.
        h: the gradient bias; dimensionless.

    Source: A2SG (ICML 2026, arXiv 2606.11236), the definition of the asymmetric surrogate.

    >>> ASY()(torch.tensor([-1.0, 0.0, 1.0, 1.1]), 1.0)
    tensor([0.0000, 0.5000, 1.0000, 0.0000])
    """

    even = False

    def __init__(self, beta: float = 1.0, h: float = 0.5) -> None:
        super().__init__(beta)
        self.h = number('h', h, self)
        if h < 0.5:
            warnings.warn(
                f'ASY with h = {h} < 1/2 is negative for z < {-2 * h:g} beta: it reverses the sign of the '
                'gradient there',
                stacklevel=2,
            )

    @property
    def non_negative(self) -> bool:
        """Whether f >= 0 everywhere."""
        return self.h >= 0.5

    def coefficients(self, beta: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        return 0.5 / beta, self.h


@SURROGATES.register_module()
class TRI(PiecewiseLinear):
    """The triangle: f(z) = max(0, 1 - |z| / beta), times 1 / beta for area 1.

    Args:
        beta: width (half of the support), in the unit of u.
        normalize: 'area' (area 1, peak 1 / beta) or 'peak' (peak 1, area beta). Published code uses both. Under
            'area' the spatial objective of an adaptive policy has no inner minimum (the widest window wins), so
            adaptive policies default to 'peak'.

    Source: Esser et al. 2016 and Bellec et al. 2018; called TRI in the A2SG paper.

    >>> TRI()(torch.tensor([-0.5, 0.0, 0.25]), 0.5)
    tensor([0., 2., 1.])
    """

    def __init__(self, beta: float = 1.0, normalize: str = 'area') -> None:
        super().__init__(beta)
        self.normalize = _normalization(normalize, self)

    def coefficients(self, beta: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        peak = 1 / beta if self.normalize == 'area' else 1.0
        return -peak / beta, peak


@SURROGATES.register_module()
class BOX(PiecewiseLinear):
    """The rectangle: f(z) = 1 / (2 beta) for area 1, or 1 for peak 1, on |z| <= beta, else 0.

    Args:
        beta: width (half of the support), in the unit of u.
        normalize: 'area' or 'peak', as for `TRI`. Neither gives the spatial objective an inner minimum.

    Source: Wu et al. 2018 (STBP).

    >>> BOX()(torch.tensor([-0.5, 0.0, 0.6]), 0.5)
    tensor([1., 1., 0.])
    """

    def __init__(self, beta: float = 1.0, normalize: str = 'area') -> None:
        super().__init__(beta)
        self.normalize = _normalization(normalize, self)

    def coefficients(self, beta: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        return 0.0, 0.5 / beta if self.normalize == 'area' else 1.0


@SURROGATES.register_module()
class PiecewiseQuadratic(TRI):
    """The triangle under the field's other name and parameter: f(z) = max(0, alpha - alpha^2 |z|).

    The primitive of f is piecewise quadratic, which gives the shape its name in the literature and in SpikingJelly. It
    is `TRI` of area 1 with beta = 1 / alpha.

    Args:
        alpha: peak of f, in the inverse unit of u.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(1 / positive('alpha', alpha, self), normalize='area')


class UnitArea(PiecewiseLinear):
    """Another shape divided by its area: f(z; beta) / integral of f(.; beta).

    With it, a layer passes on as much gradient with a wide window as with a narrow one where the density of u is flat.

    Args:
        shape: a `PiecewiseLinear`.

    Raises:
        ConfigError: the area is not positive, as that of `ASY` with h <= 0.
    """

    def __init__(self, shape: PiecewiseLinear) -> None:
        super().__init__(shape.beta)
        self.shape, self.even = shape, shape.even
        if not self._size(shape.beta) > 0:
            raise ConfigError(
                f'{type(self).__name__}: {shape} has the area {self._size(shape.beta):g}; take a shape of positive '
                'area, such as ASY with h = 1/2'
            )

    @property
    def non_negative(self) -> bool:
        """Whether f >= 0 everywhere."""
        return self.shape.non_negative

    def coefficients(self, beta: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        slope, offset = self.shape.coefficients(beta)
        size = self._size(beta)
        return slope / size, offset / size

    def _size(self, beta):
        return self.shape.area(beta)


class UnitNorm(UnitArea):
    """Another shape divided by its norm: f(z; beta) / sqrt(integral of f(.; beta)^2).

    With it, the mean square of g f does not depend on the width where the density of u is flat.

    Args:
        shape: a `PiecewiseLinear`.

    >>> round(UnitNorm(ASY(h=1.0)).norm(0.5), 6)
    1.0
    """

    def _size(self, beta):
        return self.shape.norm(beta)


def _normalization(value, owner):
    if value not in ('area', 'peak'):
        raise ValueError(f"{type(owner).__name__}: normalize must be 'area' or 'peak', got {value!r}")
    return value
