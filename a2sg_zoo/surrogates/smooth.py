"""Shapes without an edge: sigmoid, arctangent, fast sigmoid, Gaussian.

Each takes the parameter that the literature gives it and translates it to a width beta, so any policy can widen or
narrow any shape.
"""

import math

import torch
from torch import Tensor

from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates.base import Surrogate
from a2sg_zoo.utils.checks import positive


@SURROGATES.register_module()
class Sigmoid(Surrogate):
    """f(z) = alpha sigma(alpha z) (1 - sigma(alpha z)), beta = 1 / alpha; area 1, peak alpha / 4.

    Args:
        alpha: steepness, in the inverse unit of u.

    Source: Zenke & Ganguli 2018; the default of SpikingJelly, with alpha 4.
    """

    def __init__(self, alpha: float = 4.0) -> None:
        super().__init__(1 / positive('alpha', alpha, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        s = torch.sigmoid(z / beta)
        return s * (1 - s) / beta


@SURROGATES.register_module()
class ATan(Surrogate):
    """f(z) = (alpha / 2) / (1 + (pi alpha z / 2)^2), beta = 1 / alpha; area 1, peak alpha / 2.

    Args:
        alpha: steepness, in the inverse unit of u.

    Source: Fang et al. 2021 (PLIF), with alpha 2.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__(1 / positive('alpha', alpha, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        return 0.5 / beta / (1 + (math.pi / 2 * z / beta).square())


@SURROGATES.register_module()
class FastSigmoid(Surrogate):
    """f(z) = 1 / (1 + k |z|)^2, beta = 1 / k; peak 1, area 2 beta.

    Args:
        k: steepness, in the inverse unit of u.

    Source: Zenke & Ganguli 2018 (SuperSpike); the default of snnTorch, with k 25.
    """

    def __init__(self, k: float = 25.0) -> None:
        super().__init__(1 / positive('k', k, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        return (1 + z.abs() / beta).square().reciprocal()


@SURROGATES.register_module()
class Gaussian(Surrogate):
    """f(z) = N(z; 0, sigma^2), beta = sigma; area 1, peak 1 / (sigma sqrt(2 pi)).

    Args:
        sigma: standard deviation, in the unit of u.

    Source: Yin et al. 2020, with sigma 0.5.
    """

    def __init__(self, sigma: float = 0.5) -> None:
        super().__init__(positive('sigma', sigma, self))

    def __call__(self, z: Tensor, beta: float | Tensor) -> Tensor:
        return torch.exp(-0.5 * (z / beta).square()) / (beta * math.sqrt(2 * math.pi))
