"""Surrogate shapes f(z; beta): what the backward pass uses in place of the derivative of a step."""

from .base import Surrogate
from .piecewise_linear import ASY, BOX, TRI, PiecewiseLinear, PiecewiseQuadratic, UnitArea, UnitNorm, is_linear
from .smooth import ATan, FastSigmoid, Gaussian, Sigmoid
from .tanh import DspikeShape, Tanh

__all__ = [
    'Surrogate',
    'PiecewiseLinear',
    'ASY',
    'TRI',
    'BOX',
    'PiecewiseQuadratic',
    'UnitArea',
    'UnitNorm',
    'is_linear',
    'Sigmoid',
    'ATan',
    'FastSigmoid',
    'Gaussian',
    'Tanh',
    'DspikeShape',
]
