"""Which calls of a neuron belong to one sequence of time steps.

A call continues the sequence from which gradients pass to it through its state. The spike function of a call is given
z = u - threshold. `mark` notes the sequence on the autograd nodes of z and u, and `find` searches the graph of a later
state for such a note. So two states that go through one neuron in turn are two sequences, a state that was masked or
copied in between stays in its own, and a learned initial state begins a new one.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from a2sg_zoo.utils.tensors import nested_tensors


def mark(z: Tensor, owner: object, sequence: object) -> None:
    """Notes on the autograd nodes of z = u - threshold, and of u, to which sequence of `owner` they belong."""
    node = z.grad_fn
    if node is not None and node.name() != 'SubBackward0':
        node = _note(node, owner, sequence)  # a probe puts other values in the place of z
    if node is not None:
        node = _note(node, owner, sequence)
    if node is not None:
        _note(node, owner, sequence)


def _note(node, owner, sequence):
    """Notes the sequence on a node; the node of its first input."""
    _notes(node)[id(owner)] = weakref.ref(sequence)
    return node.next_functions[0][0] if node.next_functions else None


def _notes(node):
    return node.metadata  # which torch's types call a method


def find(state: Iterable[object], owner: object) -> object | None:
    """The sequence of `owner` that the given state comes from, by the nearest mark in its graph; None without any."""
    nodes = deque(x.grad_fn for x in state if isinstance(x, Tensor) and x.grad_fn is not None)
    seen = set(nodes)
    while nodes:
        node = nodes.popleft()
        if id(owner) in _notes(node):
            return _notes(node)[id(owner)]()
        above = [function for function, _ in node.next_functions if function is not None and function not in seen]
        nodes.extend(above)
        seen.update(above)
    return None


def has_no_gradient(module: nn.Module, state: Iterable[object] | None, args: tuple, kwargs: Mapping) -> bool:
    """Whether a call goes on from a state, and no gradient passes through it, as in a frozen layer or an encoder.

    Args:
        module: the neuron.
        state: the state that the call starts from; None if it is not known.
        args, kwargs: arguments of the call.
    """
    if state is None or not any(isinstance(x, Tensor) for x in state):
        return False
    # some libraries keep learned constants in tuples, where `parameters` does not see them
    return not requires_grad(*nested_tensors((args, kwargs, vars(module))), *module.parameters())


def requires_grad(*tensors: object) -> bool:
    """Whether gradients pass through any of the given objects; those that are no tensors have none."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in tensors)
