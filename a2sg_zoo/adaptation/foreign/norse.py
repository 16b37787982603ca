"""Adapters for norse (1.1).

The modules of norse hold a step function, which calls `threshold(u - v_th, method, alpha)` by its global name. The
adapter gives the module a copy of this function in which that name is the deferred surrogate. norse itself stays as it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, adapter, requires_grad
from a2sg_zoo.errors import ConfigError

_MODULES = 'norse.torch.module'


class _Step:
    """A step function of norse with another threshold function; a copy or a pickled file holds norse's own."""

    def __init__(self, step, threshold):
        names = {**step.__globals__, 'threshold': threshold}
        self.own = step
        self.step = FunctionType(step.__code__, names, step.__name__, step.__defaults__, step.__closure__)

    def __call__(self, *args, **kwargs):
        return self.step(*args, **kwargs)

    def __reduce_ex__(self, protocol):
        return self.own.__reduce_ex__(protocol)


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

    def continues(self, module: nn.Module, args: tuple) -> bool | None:
        # without a state, it may be given by keyword
        return requires_grad(*args[1]) if len(args) > 1 and args[1] is not None else None

    def install(self, module: Any, wrap: Callable[[Callable[[Tensor], Tensor]], Callable]) -> Callable[[], None]:
        own = module.activation
        threshold = getattr(own, '__globals__', {}).get('threshold')
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
