"""How a neuron computes its spikes: the ways to choose from.

A backend is a function `backend(neuron, x)` from currents (T, B, ...) to spikes. `use_backend` puts one to work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.controllers import widths_between
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.neurons.multistep import multistep_chunk, multistep_reference
from a2sg_zoo.neurons.state import NeuronState

if TYPE_CHECKING:
    from a2sg_zoo.neurons.neuron import Neuron


def compute_fused(neuron: Neuron, x: Tensor) -> Tensor:
    """The default: the fastest way that the neuron has, under widths that a controller chooses."""
    s, u = neuron.compute(x, neuron.controller(len(x)))
    if neuron.potentials is not None and u is not None:
        neuron.potentials.append((neuron, u))
    return s


def compute_reference(neuron: Neuron, x: Tensor) -> Tensor:
    """Plain operations, one time step after another, under the widths in force; no controller is asked.

    It can be differentiated twice. Where no gradient is recorded, a tracer can follow it, as an export needs.

    Args:
        neuron: gives dynamics, surrogate and widths.
        x: input current, (T, B, ...).
    """
    # a network may predict with fewer time steps than its widths were adapted for
    beta = neuron.beta if neuron.beta.numel() in (1, len(x)) else neuron.beta[-1]
    s, u = neuron.compute_reference(x, neuron.surrogate, beta)
    if neuron.potentials is not None and u is not None:
        neuron.potentials.append((neuron, u))
    return s


def advance(neuron: Neuron, x: Tensor, state: NeuronState | None) -> tuple[Tensor, NeuronState]:
    """Some time steps of a sequence by the backend of the neuron, see `Neuron.advance`.

    Raises:
        ConfigError: the neuron has a backend that computes whole sequences alone.
    """
    q = None if state is None else state[0]
    start = 0 if state is None else state.steps
    controller = None
    if neuron.backend is compute_reference:
        beta = widths_between(neuron.beta, start, len(x))
        s, u = multistep_reference(x, neuron.rate, neuron.dynamics, neuron.surrogate, beta, potentials=True, q=q)
        fired = s[-1].detach() if neuron.dynamics.detach_reset else s[-1]
        q = neuron.dynamics.carried(wide(u[-1]), wide(fired), neuron.rate)
    elif neuron.backend is compute_fused:
        if torch.is_grad_enabled():
            controller = neuron.controller_from(start, start + len(x), None if state is None else state.controller)
        s, u, q = multistep_chunk(x, neuron.rate, neuron.dynamics, controller, q, start)
    else:
        raise no_chunks(neuron)
    if neuron.potentials is not None:
        neuron.potentials.append((neuron, u))
    return s, NeuronState((q,), start + len(x), controller)


def no_chunks(neuron: Neuron) -> ConfigError:
    """The error for a neuron that has to advance by a backend that computes whole sequences alone."""
    return ConfigError(
        f'{type(neuron).__name__}: the backend {getattr(neuron.backend, "__name__", neuron.backend)!r} computes whole '
        'sequences alone; advance needs compute_fused or compute_reference'
    )
