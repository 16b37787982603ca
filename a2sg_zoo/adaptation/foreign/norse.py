"""Adapters for norse (1.1).

The modules of norse hold a step function, which calls `threshold(u - v_th, method, alpha)` by its global name. The
adapter gives the module a copy of this function in which that name is the deferred surrogate. norse itself stays as it
is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, Declared, adapter
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.surrogates import TRI, FastSigmoid, Tanh

_MODULES = 'norse.torch.module'
# the methods of norse's threshold function: derivatives of the functions in their docstrings or in the papers they name
_SHAPES: dict[str, Callable[..., Declared]] = {
    'super': lambda text, alpha: Declared.like(text, FastSigmoid(alpha)),
    'triangle': lambda text, alpha: Declared.like(text, TRI(1.0, 'peak'), alpha),
    'tanh': lambda text, alpha: Declared.like(text, Tanh(alpha)),
    'circ': lambda text, alpha: Declared(text, lambda z: alpha**2 / 2 / (z * z + alpha**2) ** 1.5, alpha),
    'heaviside': lambda text, alpha: Declared(text, torch.zeros_like),
}


class _Step:
    """A step function of norse with another threshold function; a copy or a pickled file holds norse's own."""

    def __init__(self, step, threshold):
        self.own, step = (step.own, step.step) if isinstance(step, _Step) else (step, step)
        names = {**step.__globals__, 'threshold': threshold}
        self.step = FunctionType(step.__code__, names, step.__name__, step.__defaults__, step.__closure__)

    def __call__(self, *args, **kwargs):
        return self.step(*args, **kwargs)

    def __reduce_ex__(self, protocol):
        return operator.getitem, ((self.own,), 0)


@adapter(
    f'{_MODULES}.lif.LIFCell',
    f'{_MODULES}.lif.LIF',
    f'{_MODULES}.lif.LIFRecurrentCell',
    f'{_MODULES}.lif.LIFRecurrent',
    f'{_MODULES}.lif_box.LIFBoxCell',
    f'{_MODULES}.iaf.IAFCell',
    f'{_MODULES}.iaf.IAF',
)
class Cell(Adapter):
    """LIF with synaptic current (feed-forward and recurrent, with and without time), LIF without it, IAF."""

    def refuse(self, module: Any) -> str | None:
        if getattr(module.p, 'method', None) == 'adjoint':
            return "the method 'adjoint' has no potential that autograd knows; take 'super'"
        return None

    def threshold(self, module: Any) -> float | Tensor:
        return module.p.v_th

    def state(self, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Sequence[object]:
        return (args[1] if len(args) > 1 else kwargs.get('state')) or ()

    def declared(self, module: Any) -> Declared:
        # where a module has no method or alpha of its own, its library's default stands in its parameters
        method, alpha = getattr(module.p, 'method', None), float(getattr(module.p, 'alpha', torch.nan))
        text = f'{method}(alpha={alpha:g})'
        return _SHAPES[method](text, alpha) if method in _SHAPES else Declared(text)

    def features(self, module: Any) -> int | None:
        size = getattr(module, 'input_size', None)
        return None if size is None else int(size)

    def run(self, module: Any, x: Tensor) -> object:
        if not type(module).__name__.endswith('Cell'):
            return module(x)
        state, outputs = None, []
        for x_t in x:
            spikes, state = module(x_t, state)
            outputs.append(spikes)
        return outputs

    def install(self, module: Any, wrap: Callable[[Callable[[Tensor], Tensor]], Callable]) -> Callable[[], None]:
        own = module.activation
        step = own.step if isinstance(own, _Step) else own
        threshold = getattr(step, '__globals__', {}).get('threshold')
        if threshold is None:
            raise ConfigError(f'{type(module).__name__} of norse has a step function that calls no threshold: {own!r}')
        module.activation = _Step(own, wrap(threshold))
        return lambda: setattr(module, 'activation', own)


@adapter(
    f'{_MODULES}.lsnn.LSNNCell',
    f'{_MODULES}.lsnn.LSNN',
    f'{_MODULES}.lsnn.LSNNRecurrentCell',
    f'{_MODULES}.lsnn.LSNNRecurrent',
)
class AdaptiveCell(Cell):
    """LIF with an adaptive threshold (ALIF, the cells of an LSNN).

    The threshold depends on earlier spikes, so the gradient reaches earlier time steps through potential and threshold.
    A search looks at the share of the spikes, g f, and takes c = 0.
    """

    through_time = False
