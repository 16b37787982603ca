"""What every surrogate shape is."""

import math
from abc import ABC, abstractmethod


class Surrogate(ABC):
    """A shape f(z; beta) that stands in for the derivative ds/du of the spike s = [u >= v_threshold].

    z = u - v_threshold is the signed distance of the membrane potential to the threshold, and beta > 0 the
    window: the half-width of the support for a shape that has one, the scale of the decay for one that has
    not. A shape knows nothing of neurons or of time; who owns beta and how it changes is a policy's affair.

    To add one, subclass, give `__call__`, and register:

        @SURROGATES.register_module()
        class Cosine(Surrogate):
            def __call__(self, z, beta):
                return torch.cos(z * (math.pi / 2) / beta).clamp(min=0) * (z.abs() <= beta)

    Args:
        beta: the window that a neuron starts with, in the unit of u.
    """

    def __init__(self, beta=1.0):
        self.beta = positive('beta', beta, self)

    @abstractmethod
    def __call__(self, z, beta):
        """f(z; beta), of z's shape. `beta` is a number or a tensor that broadcasts against z.

        Only differentiable operations, please: curvature measures differentiate it once more.
        """

    def __repr__(self):
        return f'{type(self).__name__}({", ".join(f"{name}={value!r}" for name, value in vars(self).items())})'


def positive(name, value, owner):
    """`value` as a float, or a TypeError or ValueError that says whose parameter is wrong."""
    who = owner if isinstance(owner, str) else type(owner).__name__
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f'{who}: {name} must be a number, got {value!r}')
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f'{who}: {name} must be positive and finite, got {value!r}')
    return float(value)
