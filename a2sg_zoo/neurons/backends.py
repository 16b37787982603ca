"""How a neuron computes its spikes: the ways to choose from.

A backend is a function `backend(neuron, x)` from currents (T, B, ...) to spikes. `use_backend` puts one to work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from a2sg_zoo.neurons.neuron import Neuron


def compute_fused(neuron: Neuron, x: Tensor) -> Tensor:
    """The default: the fastest way that the neuron has, under widths that a controller chooses."""
    s, u = neuron.compute(x, neuron.controller(len(x)))
    if neuron.potentials is not None and u is not None:
        neuron.potentials.append((neuron, u))
    return s


def compute_reference(neuron: Neuron, x: Tensor, surrogate: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
    """Plain operations, one time step after another, under the widths in force; no controller is asked.

    It can be differentiated twice. Where no gradient is recorded, a tracer can follow it, as an export needs.

    Args:
        neuron: gives dynamics, surrogate and widths.
        x: input current, (T, B, ...).
        surrogate: f(z; beta), in place of the neuron's own.
    """
    # a network may predict with fewer time steps than its widths were adapted for
    beta = neuron.beta if neuron.beta.numel() in (1, len(x)) else neuron.beta[-1]
    s, u = neuron.compute_reference(x, surrogate or neuron.surrogate, beta)
    if neuron.potentials is not None and u is not None:
        neuron.potentials.append((neuron, u))
    return s
