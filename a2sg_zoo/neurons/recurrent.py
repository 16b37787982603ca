"""A layer of neurons that receives its own spikes of the time step before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.state import NeuronState, require_currents, shapes_of
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import integer


@NEURONS.register_module()
class Recurrent(nn.Module):
    """All-to-all feedback around any neuron: x[t] becomes x[t] + W s[t-1] + b.

    The neuron inside is an ordinary layer for policies, statistics and checkpoints, by the name `neuron`. It runs one
    time step after the other, so a layer takes several times as long as without feedback.

    Args:
        neuron: config of the neuron, any that can be advanced step by step: all but `PSN` and `MaskedPSN`.
        features: number of neurons F of the layer; input and output are (T, B, F), or (T, B, ..., F).
        bias: whether the feedback has a bias.

    Raises:
        ConfigError: the neuron cannot be advanced, or the input has another number of features.

    Source: Bellec et al., NeurIPS 2018; Zenke and Vogels, Neural Computation 2021.

    >>> import torch
    >>> layer = Recurrent(dict(type='LIF', tau=2.0), features=16)
    >>> layer(torch.rand(4, 8, 16)).shape
    torch.Size([4, 8, 16])
    """

    def __init__(self, neuron: dict, features: int, bias: bool = False) -> None:
        super().__init__()
        self.features = integer('features', features, self)
        self.neuron: Any = NEURONS.build(neuron)
        if not hasattr(self.neuron, 'advance') or getattr(self.neuron, 'all_at_once', False):
            raise ConfigError(
                f'Recurrent: neuron.type = {type(self.neuron).__name__} computes all time steps at once, so it cannot '
                'receive its own spikes; use SlidingPSN, LIF, or another neuron that runs step by step'
            )
        self.feedback = Feedback(self.features, self.features, bias)

    @property
    def v_threshold(self) -> float:
        """Membrane potential at which the neuron inside fires."""
        return self.neuron.v_threshold

    @property
    def unit(self) -> float:
        """Value of one spike in the output."""
        return getattr(self.neuron, 'unit', 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the layer, of the shape of x, (T, B, ..., F)."""
        return self.advance(x)[0]

    def advance(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, NeuronState]:
        """Runs some time steps of a sequence, see `Neuron.advance`.

        Args:
            x: input currents, (T, B, ..., F).
            state: what the last call returned; None at the start of a sequence.

        Returns:
            (spikes, the state: the last spikes, and the state of the neuron inside).

        Raises:
            ConfigError: the state or x does not fit the layer.
        """
        if x.dim() < 3 or x.shape[-1] != self.features or not len(x):
            raise ConfigError(
                f'Recurrent with features={self.features} takes (T, B, ..., {self.features}) with at least one time '
                f'step, got a tensor of shape {tuple(x.shape)}'
            )
        require_currents(self, x)
        s, inner = torch.zeros_like(x[0]), None
        if state is not None:
            if not isinstance(state, RecurrentState) or not len(state) or state[0].shape != x.shape[1:]:
                raise ConfigError(
                    f'Recurrent.advance: the state must be what the last call returned, and begin with spikes of the '
                    f'shape {tuple(x.shape[1:])}, got {shapes_of(state)}'
                )
            s, inner = state[0], state.inner
        record = getattr(self.neuron, 'potentials', None)
        start = 0 if record is None else len(record)
        spikes = []
        for x_t in x.unbind():
            step, inner = self.neuron.advance((x_t + self.feedback(s))[None].to(x.dtype), inner)
            s = step[0]
            spikes.append(s)
        if record is not None and len(record) > start:
            # the neuron made an entry in each time step
            record[start:] = [(self.neuron, torch.cat([u for _, u in record[start:]]))]
        return torch.stack(spikes), RecurrentState(s, inner)


class Feedback(nn.Linear):
    """The weights of the feedback. The layer runs once a time step, on (B, ..., F)."""

    one_step_a_call = True


class RecurrentState(NeuronState):
    """The state of a `Recurrent` layer: its last spikes, and the state of the neuron inside.

    Attributes:
        inner: the state of the neuron inside.
    """

    inner: Any

    def __new__(cls, s: Tensor, inner: Any) -> RecurrentState:
        """Make the state."""
        steps, controller = getattr(inner, 'steps', 0), getattr(inner, 'controller', None)
        self = cast(RecurrentState, super().__new__(cls, (s, *inner), steps, controller))
        self.inner = inner
        return self

    def __reduce__(self) -> tuple:
        return RecurrentState, (self[0], self.inner)

    def detach(self) -> RecurrentState:
        inner = self.inner
        detached = inner.detach() if isinstance(inner, NeuronState) else tuple(v.detach() for v in inner)
        return RecurrentState(self[0].detach(), detached)
