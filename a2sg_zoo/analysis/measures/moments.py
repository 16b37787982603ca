"""Mean and standard deviation of numbers that arrive in parts."""

import math

import torch

# a standard deviation below this share of the size of the numbers is rounding in float32
ROUNDING = 1e-6


class Moments:
    """Mean and standard deviation of all numbers that were added, computed in float64.

    Sums are taken relative to the first number, because E[x^2] - E[x]^2 cancels where all numbers are nearly the same.

    Attributes:
        n: how many numbers were added.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.moments import Moments
        >>> moments = Moments()
        >>> moments.add(torch.tensor([1.0, 2.0]))
        >>> moments.add(torch.tensor([3.0]))
        >>> moments.n, moments.mean, round(moments.std(size=2.0), 4)
        (3, 2.0, 0.8165)
    """

    def __init__(self) -> None:
        self.n = 0
        self._sum = self._squares = 0.0
        self._shift: float | None = None

    def add(self, x: torch.Tensor) -> None:
        """Add all elements of a tensor."""
        if not x.numel():
            return
        x = x.double().flatten()
        if self._shift is None:
            self._shift = float(x[0])
        x = x - self._shift
        self.n += x.numel()
        self._sum += float(x.sum())
        self._squares += float(x.square().sum())

    @property
    def mean(self) -> float:
        """Mean of all numbers; at least one must have been added."""
        return (self._shift or 0.0) + self._sum / self.n

    def std(self, size: float) -> float:
        """Return the population standard deviation.

        Args:
            size: size of the numbers. A standard deviation below a millionth of it is rounding and counts as 0.

        Returns:
            The standard deviation; NaN if it overflows.
        """
        mean = self._sum / self.n
        variance = self._squares / self.n - mean * mean
        if not math.isfinite(variance):
            return math.nan
        return 0.0 if variance <= 0 or math.sqrt(variance) <= ROUNDING * size else math.sqrt(variance)
