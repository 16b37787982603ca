"""Adapters for BrainCog (0.2.7), one time step a call or all of them (`layer_by_layer`).

BrainCog's spike functions have a parameter, alpha. It stays in the state dict. While another surrogate acts, a learned
alpha has no influence, so it receives no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, Declared, adapter
from a2sg_zoo.surrogates import BOX, TRI, ATan, Sigmoid

_NODE = 'braincog.base.node.node'
# as in the docstrings of braincog.base.strategy.surrogate, which for GateGrad is not what its code computes
_SHAPES: dict[str, Callable[..., Declared]] = {
    'SigmoidGrad': lambda text, alpha: Declared.like(text, Sigmoid(alpha)),
    'AtanGrad': lambda text, alpha: Declared.like(text, ATan(alpha)),
    'QGateGrad': lambda text, alpha: Declared.like(text, TRI(1 / alpha)),
    'GateGrad': lambda text, alpha: Declared(text, lambda z: alpha / (1 + (alpha * z).abs()), 1 / alpha),
    'BackEIGateGrad': lambda text, alpha: Declared.like(text, BOX(0.5, 'peak')),
}


@adapter(f'{_NODE}.IFNode')
class Node(Adapter):
    """The IF node. With `mem_detach=True` no gradient passes through time, so a search sees c = 0."""

    spike_attribute = 'act_fun'

    def threshold(self, module: Any) -> Tensor:
        return module.get_thres()

    def state(self, module: Any, args: tuple, kwargs: Mapping[str, object]) -> Sequence[object]:
        return (module.mem,)

    def declared(self, module: Any) -> Declared:
        function = module.act_fun
        name, alpha = type(function).__name__, getattr(function, 'alpha', None)
        if alpha is None or name not in _SHAPES:
            return super().declared(module)
        return _SHAPES[name](f'{name}(alpha={alpha.item():g})', alpha.item())

    def reset(self, module: Any) -> None:
        module.n_reset()

    def run(self, module: Any, x: Tensor) -> object:
        if not module.layer_by_layer:
            return [module(x_t) for x_t in x]
        # such a node runs its own number of time steps
        x = x if len(x) == module.step else x[:1].expand(module.step, *x.shape[1:])
        return module(x.flatten(0, 1))


@adapter(f'{_NODE}.LIFNode')
class LIF(Node):
    """The LIF node; it takes the threshold as it is, also with `sigmoid_thres=True`."""

    def threshold(self, module: Any) -> Tensor:
        return module.threshold


@adapter(f'{_NODE}.PLIFNode')
class PLIF(Node):
    """The LIF node that learns its time constant."""

    def leak(self, module: Any) -> tuple[Tensor, bool]:
        return module.w.sigmoid(), True


@adapter(f'{_NODE}.BurstLIFNode', f'{_NODE}.DoubleSidePLIFNode', f'{_NODE}.HTDGLIFNode')
class Unsuitable(LIF):
    """Nodes that send something else than one spike, or do not call their spike function."""

    def refuse(self, module: nn.Module) -> str:
        return 'its outputs are not single spikes of its spike function; take a LIFNode'
