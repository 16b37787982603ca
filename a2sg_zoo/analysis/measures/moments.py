"""Mean and spread of numbers that come in parts."""

import math

# a standard deviation below this share of the size of the numbers is their rounding, in float32
ROUNDING = 1e-6


class Moments:
    """Mean and standard deviation, in float64, about the first number: E[x^2] - E[x]^2 would cancel where all are
    nearly the same.

    Attributes:
        n: how many numbers there are.
    """

    def __init__(self):
        self.n = self._sum = self._squares = 0
        self._shift = None

    def add(self, x):
        """Takes a tensor."""
        if not x.numel():
            return
        x = x.double().flatten()
        self._shift = float(x[0]) if self._shift is None else self._shift
        x = x - self._shift
        self.n += x.numel()
        self._sum += float(x.sum())
        self._squares += float(x.square().sum())

    @property
    def mean(self):
        return self._shift + self._sum / self.n

    def std(self, size):
        """Population standard deviation; 0 where it is but the rounding of numbers of that size, NaN where it
        overflows."""
        mean = self._sum / self.n
        variance = self._squares / self.n - mean * mean
        if not math.isfinite(variance):
            return math.nan
        return 0.0 if variance <= 0 or math.sqrt(variance) <= ROUNDING * size else math.sqrt(variance)
