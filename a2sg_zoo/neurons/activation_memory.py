"""Less memory for activations: layers after a neuron keep no spikes for their backward pass.

A convolution keeps its input, and the neuron before it keeps u. Since s = [u >= v_threshold], one of the two is enough.
Within `spikes_from_potentials`, a layer that would keep spikes keeps a note of where u is instead. The spikes are
computed from u again when the backward pass asks for them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from a2sg_zoo.compat import tensor_version
from a2sg_zoo.neurons.dynamics import wide

_tables = []


class _Source(NamedTuple):
    storage: StorageWeakRef
    version: int
    offset: int | torch.SymInt
    u: Tensor
    v_threshold: float


class _Spikes(NamedTuple):
    """Stands for spikes: element i of the layer's memory is [u_i >= v_threshold]."""

    u: Tensor
    v_threshold: float
    shape: torch.Size
    stride: tuple
    offset: int


def remember(s: Tensor, u: Tensor, v_threshold: float) -> None:
    """Tells the innermost `spikes_from_potentials`, if there is one, that the spikes s, (T, N), come from u.

    Both tensors must be packed in memory.
    """
    if _tables and _tables[-1] is not None:
        storage = s.untyped_storage()
        _tables[-1][storage.data_ptr()] = _Source(
            StorageWeakRef(storage), tensor_version(s), s.storage_offset(), u.detach(), v_threshold
        )


def spikes_from_potentials() -> AbstractContextManager[None]:
    """Context for a forward pass after which spikes are computed again from u, instead of being kept."""
    # a compiler decides for itself what it keeps
    return nullcontext() if torch.compiler.is_compiling() else _recording()


@contextmanager
def _recording():
    table = {}

    def pack(x):
        source = table.get(x.untyped_storage().data_ptr()) if table and x.layout == torch.strided else None
        # the spikes may be deleted and their memory given to another tensor, or the memory may be written to
        if source is None or source.storage.expired() or tensor_version(x) != source.version:
            return x.detach()  # x itself may be the result of the node that keeps it: a cycle that is never freed
        return _Spikes(source.u, source.v_threshold, x.shape, x.stride(), x.storage_offset() - source.offset)

    _tables.append(table)
    try:
        with saved_tensors_hooks(pack, _unpack):
            yield
    finally:
        _tables.pop()


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """Context within `spikes_from_potentials` for a block that keeps neither spikes nor u (a note keeps u alive)."""
    _tables.append(None)
    try:
        yield
    finally:
        _tables.pop()


def _unpack(x):
    if not isinstance(x, _Spikes):
        return x
    flat = x.u.as_strided((x.u.numel(),), (1,))
    return (wide(flat) >= x.v_threshold).to(flat.dtype).as_strided(x.shape, x.stride, x.offset)
