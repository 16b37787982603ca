"""What a layer of neurons hands from one chunk of a sequence to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.controllers import Controller


class NeuronState(tuple):
    """A tuple of tensors, each (B, ...), that `Neuron.advance` returns and takes.

    Args:
        tensors: the tensors.
        steps: number of time steps of the sequence so far.
        controller: decides the widths in the backward pass of this sequence; None if no gradient is recorded.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF
    >>> neuron, x = LIF(), torch.rand(6, 2, 3)
    >>> s, state = neuron.advance(x[:4])
    >>> state.steps, [tensor.shape for tensor in state]
    (4, [torch.Size([2, 3])])
    >>> rest, _ = neuron.advance(x[4:], state)
    >>> torch.equal(torch.cat([s, rest]), neuron(x))
    True
    """

    steps: int
    controller: Controller | None

    def __new__(cls, tensors: Iterable[Tensor], steps: int, controller: Controller | None = None) -> NeuronState:
        """Make the tuple."""
        self = super().__new__(cls, tensors)
        self.steps, self.controller = steps, controller
        return self

    def __reduce__(self) -> tuple:
        return NeuronState, (tuple(self), self.steps)

    def detach(self) -> NeuronState:
        """The same state, through which no gradient flows: the backward pass of what follows ends here.

        This is truncated backpropagation through time. The time steps after it are searched as a sequence of their own,
        with the widths of their own time steps.
        """
        return NeuronState((tensor.detach() for tensor in self), self.steps)


def shapes_of(state: Iterable[Any]) -> str:
    """The shapes of the tensors of a state, and the types of what is no tensor, for messages.

    >>> import torch
    >>> shapes_of((torch.zeros(2, 3), 0.5))
    '((2, 3), float)'
    """
    return f'({", ".join(str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in state)})'


def require_currents(neuron: object, x: Tensor) -> None:
    """Check that an input has a time axis with time steps, and a batch, and is floating point.

    Args:
        neuron: the layer, for the message.
        x: input, (T, B, ...).

    Raises:
        ConfigError: x has fewer than two axes, or T is 0, or x has integers, to which membrane potentials would be
            rounded.
    """
    if x.dim() < 2 or not len(x):
        raise ConfigError(
            f'{type(neuron).__name__} takes (T, B, ...) with at least one time step, got a tensor of shape '
            f'{tuple(x.shape)}'
        )
    if not x.is_floating_point():
        raise ConfigError(f'{type(neuron).__name__} takes floating-point currents, got {x.dtype}; pass x.float()')
