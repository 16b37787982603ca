"""The base class of all surrogate shapes."""

from abc import ABC, abstractmethod

from torch import Tensor

from a2sg_zoo.utils.checks import positive


class Surrogate(ABC):
    """A shape f(z; beta) that stands in for the derivative ds/du of the spike s = [u >= v_threshold].

    z = u - v_threshold is the signed distance of the membrane potential to the threshold. beta > 0 is the width of the
    window: half of the support for a shape that has an edge, the scale of the decay for a shape without one. A shape
    knows nothing of neurons or of time; a policy decides how beta changes.

    To add a shape, subclass, write `__call__`, and register it:

        @SURROGATES.register_module()
        class Cosine(Surrogate):
            def __call__(self, z, beta):
                return torch.cos(z * (math.pi / 2) / beta).clamp(min=0) * (z.abs() <= beta)

    Args:
        beta: the width that a neuron starts with, in the unit of u.
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = positive('beta', beta, self)

    @abstractmethod
    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        """f(z; beta), of the shape of z.

        Use differentiable operations only: curvature measures differentiate f once more.

        Args:
            z: u - v_threshold, any shape.
            beta: the width, a number or a tensor that broadcasts against z.
        """

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={value!r}" for name, value in vars(self).items())})'
