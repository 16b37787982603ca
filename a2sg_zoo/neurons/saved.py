"""What the layers after a neuron keep for their backward pass: not the spikes, which follow from u.

A convolution keeps its input, and the neuron before it keeps u. Since s = [u >= v_threshold], one of both is enough:
within `spikes_from_potentials`, whatever would keep spikes keeps a note of where to find u, and makes the spikes again
when its backward pass asks for them.
"""

from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from a2sg_zoo.neurons.dynamics import wide

_tables = []


class _Source(NamedTuple):
    storage: StorageWeakRef
    version: int
    offset: int
    u: Tensor
    v_threshold: float


class _Spikes(NamedTuple):
    """Spikes by the u that they come from: element i of the layer's memory is [u_i >= v_threshold]."""

    u: Tensor
    v_threshold: float
    shape: torch.Size
    stride: tuple
    offset: int


def remember(s, u, v_threshold):
    """Says that spikes s, (T, N), are those of u, both packed; for the innermost `spikes_from_potentials`, if any."""
    if _tables and _tables[-1] is not None:
        storage = s.untyped_storage()
        _tables[-1][storage.data_ptr()] = _Source(
            StorageWeakRef(storage), s._version, s.storage_offset(), u.detach(), v_threshold
        )


def spikes_from_potentials():
    """Context for a forward pass after which spikes are made again from u, in place of being kept."""
    # a compiler decides for itself what it keeps
    return nullcontext() if torch.compiler.is_compiling() else _recording()


@contextmanager
def _recording():
    table = {}

    def pack(x):
        source = table.get(x.untyped_storage().data_ptr()) if table and x.layout == torch.strided else None
        # the memory of spikes that are gone may have been given to another tensor, or been written to
        if source is None or source.storage.expired() or x._version != source.version:
            return x
        return _Spikes(source.u, source.v_threshold, x.shape, x.stride(), x.storage_offset() - source.offset)

    _tables.append(table)
    try:
        with saved_tensors_hooks(pack, _unpack):
            yield
    finally:
        _tables.pop()


@contextmanager
def nothing_remembered():
    """Context within `spikes_from_potentials` for what keeps neither spikes nor u: a table would keep u alive."""
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
