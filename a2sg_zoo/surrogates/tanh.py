"""Shapes that are the derivative of a hyperbolic tangent: the plain one, and Dspike's, cut off and normalised."""

import math

import torch
from torch import Tensor

from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates.base import Surrogate
from a2sg_zoo.utils.checks import positive


@SURROGATES.register_module()
class Tanh(Surrogate):
    """f(z) = (K / 2) sech^2(K z), the derivative of tanh(K z) / 2 + 1/2; beta = 1 / K; area 1, peak K / 2.

    Args:
        K: steepness, in the inverse unit of u.

    Source: the shape of IM-Loss (Guo et al., NeurIPS 2022), where K grows: see the policy `EvolvingTanh`.
    """

    def __init__(self, K: float = 1.0) -> None:
        super().__init__(1 / positive('K', K, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        return (1 - torch.tanh(z / beta).square()) * (0.5 / beta)


@SURROGATES.register_module()
class DspikeShape(Surrogate):
    """The derivative of Dspike, a tanh from (0, 0) to (2 v_threshold, 1) with temperature b.

        Dspike(u) = a tanh(b z / (2 v_threshold)) + 1/2,    a = 1 / (2 tanh(b / 2)),    on 0 <= u <= 2 v_threshold
        f(z; beta) = a sech^2(z / beta) / beta,    beta = 2 v_threshold / b,    on |z| <= v_threshold, else 0

    Its area is 1 for every b. b towards 0 gives the rectangle of that support, a large b a narrow peak of height b / (4
    v_threshold). The width beta scales the decay and leaves the support unchanged.

    Args:
        b: temperature to start from; dimensionless.
        v_threshold: threshold of the neurons, which sets the support. The policy `Dspike` gives each neuron its own
            shape.

    Source: Li et al., NeurIPS 2021, where v_threshold = 1/2; other thresholds by scaling u.
    """

    def __init__(self, b: float = 3.0, v_threshold: float = 1.0) -> None:
        self.v_threshold = positive('v_threshold', v_threshold, self)
        super().__init__(2 * self.v_threshold / positive('b', b, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        ratio = self.v_threshold / beta
        peak = 0.5 / (beta * (torch.tanh(ratio) if isinstance(ratio, Tensor) else math.tanh(ratio)))
        return (1 - torch.tanh(z / beta).square()) * peak * (z.detach().abs() <= self.v_threshold)
