"""The fast path: SpikingJelly's multi-step IF, LIF and PLIF nodes, computed by our fused neuron.

The node stays in its network with its parameters, its state and its settings, which are read at each call. Only its
method `multi_step_forward` is replaced. Spikes and gradients are those of the node's own code, up to rounding.

Our neuron starts from v[0] = v_reset. A call that continues from another v[0] adds it to the first input:
u[1] = decay v[0] + gain x[1] + shift is the same as with v[0] = v_reset and x[1] + (v[0] - v_reset) decay / gain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.neurons import Controller, Dynamics, multistep_potentials

Equations = Callable[[Any], tuple[float | Tensor, Dynamics]]
"""From a node to (leak rate, constants) of our neuron that computes the same."""


class FusedSteps:
    """Takes the place of the method `multi_step_forward` of a node.

    A copy or a pickled file of the network holds the node's own method again.

    Args:
        module: the node.
        equations: gives what our neuron needs to know of it.
        controller: answers with what decides the widths in a call with the input x, (T, B, ...).
    """

    def __init__(self, module: Any, equations: Equations, controller: Callable[[Tensor], Controller]) -> None:
        self.module, self.equations, self.controller = module, equations, controller
        self.own = module.multi_step_forward

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        module = self.module
        fits = isinstance(x, Tensor) and x.is_floating_point() and x.dim() > 1 and len(x) and not (args or kwargs)
        if not fits or not getattr(module.surrogate_function, 'spiking', True) or torch.compiler.is_compiling():
            return self.own(x, *args, **kwargs)
        rate, dynamics = self.equations(module)
        s, u = multistep_potentials(_with_state(module, x, rate, dynamics), rate, dynamics, self.controller(x))
        fired = s.detach() if dynamics.detach_reset else s
        # of a copy, because the network may change s in place
        module.v = dynamics.reset(u[-1], fired[-1].clone())
        if module.store_v_seq:
            module.v_seq = dynamics.reset(u, fired.clone())
        return s

    def __reduce_ex__(self, protocol: int) -> tuple:
        return getattr, (self.module, 'multi_step_forward')


def _with_state(module, x, rate, dynamics):
    """The input with which our neuron, which starts from v_reset, computes what the node does from its state."""
    v_reset = dynamics.v_reset
    if v_reset and not dynamics.decay_input:
        x = x + rate * v_reset  # the node leaks towards v_reset, ours towards 0
    if not isinstance(module.v, Tensor) and module.v == v_reset:
        return x
    (v,) = module.materialize_states((x,), (module.v,), 'm')
    decay, gain, _ = dynamics.coefficients(rate)
    return torch.cat([x[:1] + (v - v_reset) * (decay / gain), x[1:]])
