"""Adapters for BrainCog (0.2.7), one time step a call or all of them (`layer_by_layer`).

BrainCog's spike functions have a parameter, alpha. It stays in the state dict. While another surrogate acts, a learned
alpha has no influence, so it receives no gradient.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter, adapter, requires_grad

_NODE = 'braincog.base.node.node'


@adapter(f'{_NODE}.IFNode')
class Node(Adapter):
    """The IF node. With `mem_detach=True` no gradient passes through time, so a search sees c = 0."""

    spike_attribute = 'act_fun'

    def threshold(self, module: Any) -> Tensor:
        return module.get_thres()

    def continues(self, module: Any, args: tuple) -> bool:
        return requires_grad(module.mem)


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
