"""Shapes without an edge: sigmoid, arctangent, fast sigmoid, Gaussian.

Each takes the parameter that the literature gives it and translates it to a window beta, so that any policy
can widen or narrow any shape.
"""

import math

import torch

from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates.base import Surrogate, positive


@SURROGATES.register_module()
class Sigmoid(Surrogate):
    """f(z) = alpha sigma(alpha z) (1 - sigma(alpha z)), beta = 1 / alpha; area 1, peak alpha / 4.

    Source: Zenke & Ganguli 2018; spikingjelly's default, with alpha 4.
    """

    def __init__(self, alpha=4.0):
        super().__init__(1 / positive('alpha', alpha, self))

    def __call__(self, z, beta):
        s = torch.sigmoid(z / beta)
        return s * (1 - s) / beta


@SURROGATES.register_module()
class ATan(Surrogate):
    """f(z) = (alpha / 2) / (1 + (pi alpha z / 2)^2), beta = 1 / alpha; area 1, peak alpha / 2.

    Source: Fang et al. 2021 (PLIF), with alpha 2.
    """

    def __init__(self, alpha=2.0):
        super().__init__(1 / positive('alpha', alpha, self))

    def __call__(self, z, beta):
        return 0.5 / beta / (1 + (math.pi / 2 * z / beta).square())


@SURROGATES.register_module()
class FastSigmoid(Surrogate):
    """f(z) = 1 / (1 + k |z|)^2, beta = 1 / k; peak 1, area 2 beta.

    Source: Zenke & Ganguli 2018 (SuperSpike); snnTorch's default, with k 25.
    """

    def __init__(self, k=25.0):
        super().__init__(1 / positive('k', k, self))

    def __call__(self, z, beta):
        return (1 + z.abs() / beta).square().reciprocal()


@SURROGATES.register_module()
class Gaussian(Surrogate):
    """f(z) = N(z; 0, sigma^2), beta = sigma; area 1, peak 1 / (sigma sqrt(2 pi)).

    Source: Yin et al. 2020, with sigma 0.5.
    """

    def __init__(self, sigma=0.5):
        super().__init__(positive('sigma', sigma, self))

    def __call__(self, z, beta):
        return torch.exp(-0.5 * (z / beta).square()) / (beta * math.sqrt(2 * math.pi))
